"""What the commands of training share: project, progress bar, tables, and stopping cleanly."""

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper

from predictions.models import ModelVersion, Project
from training.data.picture_import import ImportReport
from training.evaluation import evaluations
from training.models import Evaluation
from training.runs.execution import Interrupted

BAR_WIDTH = 24
MAX_LINE = 110
SECONDS_BETWEEN_LINES = 5
MAX_ROWS = 50


class TerminalProgress:
    """A `Progress` for people: a bar on a terminal, elsewhere a line every few seconds."""

    def __init__(self, out: OutputWrapper) -> None:
        self._out = out
        self.printed: set[str] = set()
        self._drawn = 0
        self._stage = ""
        self._written_at = 0.0

    def __call__(self, done: int, total: int, note: str = "") -> None:
        percent = round(100 * done / total) if total else 0
        self.printed.add(note)
        if self._out.isatty():
            bar = "█" * (BAR_WIDTH * percent // 100)
            line = f"{bar:░<{BAR_WIDTH}} {percent:3d} %  {note}"[:MAX_LINE]
            # Padded to the length of the line before, or its end would stay on the screen
            self._out.write(f"\r{line:<{self._drawn}}", ending="")
            self._out.flush()
            self._drawn = len(line)
        elif (
            note != self._stage
            or time.monotonic() - self._written_at > SECONDS_BETWEEN_LINES
            or done == total
        ):
            self._out.write(f"{percent:3d} %  {note}")
            self._written_at = time.monotonic()
        self._stage = note

    def close(self) -> None:
        if self._drawn:
            self._out.write("")
            self._drawn = 0


class ProjectCommand(BaseCommand):
    """A command about one project, which need not be named where there is only one."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--project", metavar="SLUG", help="Needed when there are several projects."
        )

    def project(self, slug: str | None) -> Project:
        projects = {project.slug: project for project in Project.objects.order_by("slug")}
        slugs = ", ".join(projects)
        if not projects:
            raise CommandError("There is no project yet. Make one: manage.py create_project NAME")
        if slug is None and len(projects) == 1:
            return next(iter(projects.values()))
        if slug is None:
            raise CommandError(f"There are several projects. Name one with --project: {slugs}")
        if slug not in projects:
            raise CommandError(f"There is no project '{slug}'. There are: {slugs}")
        return projects[slug]

    def print_import_report(self, report: ImportReport) -> None:
        """Print what was taken, and what not and why."""
        rows = [
            (name or "without a label", str(count)) for name, count in sorted(report.taken.items())
        ]
        rows.append(("taken", str(report.total_added)))
        rows.append(("there already", str(len(report.duplicates))))
        rows.append(("refused", str(len(report.refused))))
        self.stdout.write(format_table(("", "pictures"), rows))
        for folder, category in report.merged.items():
            self.stdout.write(f"The folder “{folder}” was taken for the category “{category}”.")
        for title, skipped in (("There already:", report.duplicates), ("Refused:", report.refused)):
            if skipped:
                self.stdout.write(title)
            for each in skipped[:MAX_ROWS]:
                self.stdout.write(f"  {each.name}: {each.reason}")
            if len(skipped) > MAX_ROWS:
                self.stdout.write(f"  ... and {len(skipped) - MAX_ROWS} more")

    def print_metrics(
        self, new: Evaluation | None, live: Evaluation | None, version: ModelVersion
    ) -> None:
        """Print the figures per category, beside the live model's on the same test pictures."""
        if new is None:
            self.stdout.write(
                self.style.WARNING("There was no test picture: how well the model does is unknown.")
            )
            return
        beside = live.per_category if live else {}
        between, _accuracy = evaluations.metric_intervals(new)
        headings = ["category", "precision", "95 %", "recall", "95 %", "avg. precision", "support"]
        headings += ["live precision", "live recall"] if live else []
        rows = [
            [
                name,
                *(
                    cell
                    for key in ("precision", "recall")
                    for cell in (_number(figures[key]), _between(between[name][key]))
                ),
                _number(figures.get("average_precision")),
                str(figures["support"]),
            ]
            + (
                [_number(beside.get(name, {}).get(key)) for key in ("precision", "recall")]
                if live
                else []
            )
            for name, figures in new.per_category.items()
        ]
        self.stdout.write(
            f"Version {version.number} on the test split of data set {new.dataset.number}:"
        )
        self.stdout.write(format_table(headings, rows))
        self.stdout.write(_summary("this version", new))
        if live:
            self.stdout.write(_summary(f"live, version {live.model_version.number}", live))


def format_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return lines with columns: the first to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [headings, ["-" * width for width in widths], *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


@contextmanager
def cancel_on_signal() -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into Interrupted, which ends a run as cancelled.

    A second Ctrl-C is handled as it was before.
    """
    # Python lets the main thread alone set signal handlers
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        # So that a second Ctrl-C stops even what does not react to the first
        for each, handler in before.items():
            signal.signal(each, handler)
        raise Interrupted

    before: Mapping[int, Any] = {
        each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _between(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.2f}-{interval[1]:.2f}"


def _summary(who: str, evaluation: Evaluation) -> str:
    skipped = f", {evaluation.skipped} not asked" if evaluation.skipped else ""
    _by_category, between = evaluations.metric_intervals(evaluation)
    measure = "all categories right" if evaluation.is_multilabel else "accuracy"
    line = (
        f"{who}: {measure} {evaluation.accuracy:.3f} ({_between(between)}), macro F1 "
        f"{evaluation.macro_f1:.3f} ({len(evaluation.answers)} pictures{skipped})"
    )
    if not evaluation.calibration:
        return line
    line += f", calibration error {evaluation.calibration['error']:.3f}"
    before = evaluation.calibration.get("error_before")
    return line if before is None else f"{line} ({before:.3f} before temperature scaling)"

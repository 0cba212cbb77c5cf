import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.loader import render_to_string

from common.errors import DomainError
from training import backbones, plots
from training.backbones import imagenet, lite0
from training.backbones.base import Backbone
from training.management.terminal import MAX_ROWS, TerminalProgress
from training.studies import learning_curves, ood_detection, trained_networks
from training.studies.learning_curves import (
    LabelledPictures,
    LearningCurve,
    StudyRefused,
)

PER_CLASS = (5, 10, 20, 50)
SEEDS = 5
STEPS = ("reading and features, per picture", "network", "head", "calibration")
ABSENT = "–"


class Command(BaseCommand):
    help = (
        "Measure how well the backbones serve on your pictures: DIR holds one folder per category. "
        "For every backbone a head learns from N pictures per category and is asked about all the "
        "others. Nothing is kept."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("directory", metavar="DIR", type=Path)
        parser.add_argument(
            "--backbone",
            metavar="NAME",
            nargs="+",
            action="extend",
            help=f"One or more of: {', '.join([*backbones.FROZEN, backbones.SCRATCH])}. Without: "
            "lite0, lite0-160, and those whose weights lie in CLASSIFR_WEIGHTS_DIR. scratch learns "
            "a network for every draw, which takes minutes each.",
        )
        parser.add_argument(
            "--per-class",
            metavar="N",
            nargs="+",
            type=_positive,
            default=PER_CLASS,
            help="Default: 5 10 20 50.",
        )
        parser.add_argument(
            "--out-of-scope",
            metavar="DIR",
            nargs="+",
            type=Path,
            default=[],
            help="Folders of other things, with folders of pictures in them too: measures how well "
            "each backbone (but "
            "scratch) tells them from the categories of the first, with the largest N.",
        )
        parser.add_argument(
            "--seeds",
            metavar="N",
            type=_positive,
            default=SEEDS,
            help=f"Draws for every number. Default: {SEEDS}.",
        )
        parser.add_argument(
            "--fine-tune",
            action="store_true",
            help="Measure every backbone fine-tuned as well, but for scratch. It learns for every "
            "draw, which is slow.",
        )
        parser.add_argument(
            "--plot", metavar="FILE", type=Path, help="Draw the learning curves into this SVG file."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        plot = options["plot"]
        if plot and plot.suffix != ".svg":
            raise CommandError(f"{plot} does not end with .svg, and that is what is drawn.")
        names = list(
            dict.fromkeys(options["backbone"] or [*lite0.SIZES, *imagenet.available_offline()])
        )
        bar = TerminalProgress(self.stderr)
        ood_figures: list[ood_detection.OodFigures] = []
        try:
            # All before the first one is measured: a missing file should not show after an hour
            frozen = [backbones.load(name) for name in names if name != backbones.SCRATCH]
            with tempfile.TemporaryDirectory(prefix="classifr-study-") as folder:
                collection = learning_curves.collect_pictures(
                    options["directory"], Path(folder), bar
                )
                numbers = learning_curves.usable_sizes(collection, options["per_class"])
                self._print_left_out(collection, set(options["per_class"]) - set(numbers))
                curves = []
                for backbone in frozen:
                    curves += self._curves(backbone, collection, numbers, options, bar)
                others = self._others(options["out_of_scope"], Path(folder), bar)
                for backbone in frozen if others else []:
                    ood_figures += ood_detection.measure_ood(
                        backbone, collection, others, max(numbers), options["seeds"], bar
                    )
                if backbones.SCRATCH in names:
                    self._announce("scratch", numbers, options, bar)
                    curves.append(
                        trained_networks.scratch_curve(collection, numbers, options["seeds"], bar)
                    )
        except (DomainError, StudyRefused) as error:
            raise CommandError(str(error)) from error
        finally:
            bar.close()
        self.stdout.write(curves_as_markdown(collection, curves, options["seeds"]))
        if plot:
            self._draw(plot, options["directory"].name, curves)
        if ood_figures:
            self.stdout.write("\n" + ood_as_markdown(ood_figures, max(numbers)))

    def _others(
        self, directories: Sequence[Path], folder: Path, bar: TerminalProgress
    ) -> dict[str, LabelledPictures]:
        """Gather the folders of other things, each under its name."""
        collections = {}
        for place, directory in enumerate(directories):
            own = folder / f"outside-{place}"
            own.mkdir()
            collections[directory.name] = learning_curves.collect_pictures(
                directory, own, bar, fewest=1
            )
        return collections

    def _curves(
        self,
        backbone: Backbone,
        collection: LabelledPictures,
        numbers: Sequence[int],
        options: dict[str, Any],
        bar: TerminalProgress,
    ) -> list[LearningCurve]:
        bar.close()
        self.stderr.write(f"{backbone.name}:")
        curves = [
            learning_curves.frozen_curve(backbone, collection, numbers, options["seeds"], bar)
        ]
        if options["fine_tune"]:
            self._announce(f"{backbone.name}, fine-tuned,", numbers, options, bar)
            curves.append(
                trained_networks.fine_tuned_curve(
                    backbone, collection, numbers, options["seeds"], bar
                )
            )
        return curves

    def _announce(
        self, who: str, numbers: Sequence[int], options: dict[str, Any], bar: TerminalProgress
    ) -> None:
        bar.close()
        self.stderr.write(f"{who} learns {len(numbers) * options['seeds']} networks: this is slow.")

    def _draw(self, file: Path, title: str, curves: Sequence[LearningCurve]) -> None:
        points = {
            curve.backbone: {
                n: statistics.mean(answer.accuracy for answer in curve.answers[n])
                for n in curve.answers
            }
            for curve in curves
        }
        file.write_text(
            render_to_string(
                "training/learning_curves.svg", {"chart": plots.learning_curves(title, points)}
            )
        )
        self.stderr.write(f"Drawn: {file}")

    def _print_left_out(self, collection: LabelledPictures, impossible: set[int]) -> None:
        """Print what is not measured, and why."""
        for line in collection.left_out[:MAX_ROWS]:
            self.stderr.write(f"Left out: {line}")
        if (more := len(collection.left_out) - MAX_ROWS) > 0:
            self.stderr.write(f"Left out: {more} more")
        if impossible:
            name, size = collection.smallest()
            skipped = ", ".join(map(str, sorted(impossible)))
            self.stderr.write(
                f"Not measured: {skipped} per category, as {name} has {size} pictures in all."
            )


def curves_as_markdown(
    collection: LabelledPictures, curves: Sequence[LearningCurve], seeds: int
) -> str:
    """Return the figures as Markdown: a row per backbone, a column per number, then times."""
    numbers = list(curves[0].answers)
    headings = ["backbone", "features", *(f"{number} per category" for number in numbers), *STEPS]
    draws = "1 draw" if seeds == 1 else f"mean ± standard deviation of {seeds} draws"
    lines = [
        _row(headings),
        _row(["---", *["--:"] * (len(headings) - 1)]),
        *(_row(_cells(curve, numbers)) for curve in curves),
        "",
        f"{len(collection.samples)} pictures of {len(collection.names)} categories. Accuracy, "
        f"{draws}; in brackets the expected calibration error. Times are of the CPU, all cores "
        f"together; those of learning are for one draw of {numbers[-1]} per category.",
    ]
    return "\n".join(lines)


def ood_as_markdown(ood_figures: Sequence[ood_detection.OodFigures], per_class: int) -> str:
    """Return the figures of other things as Markdown: a row per backbone and folder."""
    headings = [
        "backbone",
        "out of scope",
        "AUROC, nearness",
        "AUROC, probability",
        "refused",
        "refused of its own",
    ]
    lines = [_row(headings), _row(["---", "---", *["--:"] * (len(headings) - 2)])]
    for figures in ood_figures:
        parts: list[list[float | None]] = [
            [draw.by_nearness for draw in figures.draws],
            [draw.by_probability for draw in figures.draws],
            [draw.refused_outside for draw in figures.draws],
            [draw.refused_inside for draw in figures.draws],
        ]
        lines.append(_row([figures.backbone, figures.outside, *map(_mean, parts)]))
    lines += [
        "",
        f"Learned from {per_class} pictures per category; refused are at most 5 % of those held "
        "back.",
    ]
    return "\n".join(lines)


def _mean(values: Sequence[float | None]) -> str:
    defined = [value for value in values if value is not None]
    if not defined:
        return ABSENT
    spread = f" ± {statistics.stdev(defined):.3f}" if len(defined) > 1 else ""
    return f"{statistics.mean(defined):.3f}{spread}"


def _cells(curve: LearningCurve, numbers: Sequence[int]) -> list[str]:
    """Return the row of a backbone: accuracies, then the times for the largest number."""
    cells = [curve.backbone, str(curve.features)]
    for number in numbers:
        answers = curve.answers.get(number, [])
        if answers:
            error = statistics.mean(answer.calibration_error for answer in answers)
            cells.append(f"{_mean([answer.accuracy for answer in answers])} ({error:.3f})")
        else:
            cells.append(ABSENT)
    cells.append(ABSENT if curve.milliseconds is None else f"{curve.milliseconds:.1f} ms")
    if not (largest := curve.answers.get(numbers[-1], [])):
        return cells + [ABSENT] * (len(STEPS) - 1)
    network = statistics.mean(answer.network_seconds for answer in largest)
    learning = statistics.mean(answer.head_seconds for answer in largest)
    calibrating = statistics.mean(answer.calibration_seconds for answer in largest)
    return [
        *cells,
        f"{network:.0f} s" if network else ABSENT,
        f"{learning:.2f} s",
        f"{1000 * calibrating:.1f} ms",
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1.")
    return number

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from classifr.common.errors import DomainError
from training import backbone_study, backbones
from training.backbone_study import Collection, Curve, StudyRefused
from training.backbones import imagenet
from training.backbones.base import Backbone
from training.management.terminal import MOST_ROWS, Bar

PER_CLASS = (5, 10, 20, 50)
SEEDS = 5


class Command(BaseCommand):
    help = (
        "Measure how well the backbones serve on your pictures: DIR holds one folder per category. For every backbone "
        "a head learns from N pictures per category and is asked about all the others. Nothing is kept."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("directory", metavar="DIR", type=Path)
        parser.add_argument(
            "--backbone",
            metavar="NAME",
            nargs="+",
            action="extend",
            choices=backbones.names(),
            help=f"One or more of: {', '.join(backbones.names())}. Without: bundled, and those whose weights lie in "
            "CLASSIFR_WEIGHTS_DIR. scratch learns a network for every draw, which takes minutes each.",
        )
        parser.add_argument(
            "--per-class", metavar="N", nargs="+", type=_positive, default=PER_CLASS, help="Default: 5 10 20 50."
        )
        parser.add_argument(
            "--seeds", metavar="N", type=_positive, default=SEEDS, help=f"Draws for every number. Default: {SEEDS}."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        names = list(dict.fromkeys(options["backbone"] or ["bundled", *imagenet.at_hand()]))
        bar = Bar(self.stderr)
        try:
            found = [backbones.get(name) for name in names if name != backbones.SCRATCH]
            with tempfile.TemporaryDirectory(prefix="classifr-study-") as folder:
                collection = backbone_study.gather(options["directory"], Path(folder), bar)
                numbers = backbone_study.possible(collection, options["per_class"])
                self._tell(collection, set(options["per_class"]) - set(numbers))
                curves = [self._frozen(backbone, collection, numbers, options["seeds"], bar) for backbone in found]
                if backbones.SCRATCH in names:
                    bar.close()
                    self.stderr.write(f"scratch learns {len(numbers) * options['seeds']} networks: this is slow.")
                    curves.append(backbone_study.scratch(collection, numbers, options["seeds"], bar))
        except (DomainError, StudyRefused) as error:
            raise CommandError(str(error)) from error
        finally:
            bar.close()
        self.stdout.write(report(collection, curves, options["seeds"]))

    def _frozen(
        self, backbone: Backbone, collection: Collection, numbers: Sequence[int], seeds: int, bar: Bar
    ) -> Curve:
        bar.close()
        self.stderr.write(f"{backbone.name}:")
        return backbone_study.frozen(backbone, collection, numbers, seeds, bar)

    def _tell(self, collection: Collection, impossible: set[int]) -> None:
        """Say what is not measured, and why."""
        for line in collection.left_out[:MOST_ROWS]:
            self.stderr.write(f"Left out: {line}")
        if (more := len(collection.left_out) - MOST_ROWS) > 0:
            self.stderr.write(f"Left out: {more} more")
        if impossible:
            name, size = collection.smallest()
            skipped = ", ".join(map(str, sorted(impossible)))
            self.stderr.write(f"Not measured: {skipped} per category, as {name} has {size} pictures in all.")


def report(collection: Collection, curves: Sequence[Curve], seeds: int) -> str:
    """Return the figures as Markdown: a row per backbone, a column per number of pictures."""
    numbers = list(curves[0].answers)
    headings = ["backbone", "features", "ms per picture", *(f"{number} per category" for number in numbers)]
    lines = [_row(headings), _row(["---", *["--:"] * (len(headings) - 1)])]
    lines += [_row(_cells(curve)) for curve in curves]
    draws = "1 draw" if seeds == 1 else f"mean ± standard deviation of {seeds} draws"
    lines += [
        "",
        f"{len(collection.samples)} pictures of {len(collection.names)} categories. Accuracy, {draws}; "
        "in brackets the expected calibration error.",
    ]
    for curve in curves:
        if curve.milliseconds is None:
            seconds = statistics.mean(answer.seconds for answers in curve.answers.values() for answer in answers)
            lines.append(f"{curve.backbone} learned its network anew for every draw, {seconds:.0f} s each.")
    return "\n".join(lines)


def _cells(curve: Curve) -> list[str]:
    time = "–" if curve.milliseconds is None else f"{curve.milliseconds:.1f}"
    cells = [curve.backbone, str(curve.features), time]
    for answers in curve.answers.values():
        accuracies = [answer.accuracy for answer in answers]
        spread = f" ± {statistics.stdev(accuracies):.3f}" if len(accuracies) > 1 else ""
        error = statistics.mean(answer.calibration_error for answer in answers)
        cells.append(f"{statistics.mean(accuracies):.3f}{spread} ({error:.3f})")
    return cells


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1.")
    return number

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from common.errors import DomainError
from training.data import dataset_export, formats
from training.management.terminal import ProjectCommand, TerminalProgress


class Command(ProjectCommand):
    help = (
        "Export a data set version with its pictures or texts, in the format of another tool; "
        "what is exported can be imported again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", metavar="FILE", help="Where to write it; - is the output.")
        parser.add_argument(
            "--number", type=int, metavar="N", help="Of the data set version. Default: the newest."
        )
        parser.add_argument("--format", choices=sorted(formats.FORMATS), default="folder")

    def handle(self, *args: Any, **options: Any) -> None:
        project = self.project(options["project"])
        versions = project.datasets.order_by("-number")
        number = options["number"]
        dataset = versions.filter(number=number).first() if number else versions.first()
        if dataset is None:
            raise CommandError(
                f"There is no data set {number} in '{project.slug}'."
                if number
                else f"'{project.slug}' has no data set yet: the first run freezes one."
            )
        bar = TerminalProgress(self.stderr)
        try:
            chunks = dataset_export.export_dataset(dataset, options["format"], progress=bar)
            if options["file"] == "-":
                for chunk in chunks:
                    sys.stdout.buffer.write(chunk)
                return
            path = Path(options["file"])
            # A file that is not whole must not look as if it were
            part = path.with_name(f"{path.name}.part")
            with part.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
            part.replace(path)
        except (DomainError, OSError) as error:
            raise CommandError(str(error)) from error
        finally:
            bar.close()
        self.stdout.write(
            f"Data set {dataset.number} was written to {path} ({path.stat().st_size:,} bytes)."
        )

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from common.errors import DomainError
from customvision.exported import model_import
from training.management.terminal import ProjectCommand


class Command(ProjectCommand):
    help = (
        "Make a model version of the ZIP of a Custom Vision export: TensorFlow Lite, ONNX, or a "
        "frozen TensorFlow graph, which is converted. The same archive again gives the same "
        "version."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("archive", type=Path, metavar="ARCHIVE", help="The ZIP file.")
        parser.add_argument("--promote", action="store_true", help="Make it the live model.")

    def handle(self, *args: Any, **options: Any) -> None:
        project = self.project(options["project"])
        try:
            with options["archive"].open("rb") as file:
                version, is_new = model_import.import_archive(project, file)
            if options["promote"]:
                model_import.promote_imported(version, by=None)
        except OSError as error:
            raise CommandError(f"{options['archive']} cannot be read: {error.strerror}") from error
        except DomainError as error:
            raise CommandError(str(error)) from error
        what = "Registered" if is_new else "It is there already as"
        labels = ", ".join(version.class_names)
        self.stdout.write(self.style.SUCCESS(f"{what} version {version.number}: {labels}"))
        if options["promote"]:
            self.stdout.write(f"Version {version.number} of {project.slug} is live now.")
        else:
            self.stdout.write(f"Next: manage.py promote {version.number} --project {project.slug}")

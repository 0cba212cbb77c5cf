from typing import Any

from django.core.management.base import CommandError, CommandParser

from common.errors import DomainError
from predictions.models import Project
from training.data import picture_import, text_import
from training.management.terminal import ProjectCommand, TerminalProgress


class Command(ProjectCommand):
    help = (
        "Import labelled texts from a CSV with the columns text and label, or from JSON Lines; "
        "missing categories are made. Again: only what is new."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        project = self.project(options["project"])
        if project.modality != Project.Modality.TEXT:
            raise CommandError(f"The project '{project.slug}' holds pictures: use import_images.")
        bar = TerminalProgress(self.stdout)
        try:
            report = text_import.import_text_file(project, None, options["file"], progress=bar)
        except DomainError as error:
            raise CommandError(str(error)) from error
        finally:
            bar.close()
        self.print_import_report(report)
        for category in project.categories.filter(name__in=report.taken):
            if warning := picture_import.few_pictures_warning(category):
                self.stdout.write(self.style.WARNING(warning))

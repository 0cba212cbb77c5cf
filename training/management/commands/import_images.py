from typing import Any

from django.core.management.base import CommandError, CommandParser

from common.errors import DomainError
from training.data import picture_import
from training.management.terminal import ProjectCommand, TerminalProgress


class Command(ProjectCommand):
    help = (
        "Import labelled pictures: one folder per category; missing categories are made. Again: "
        "only what is new."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("directory", metavar="DIR")

    def handle(self, *args: Any, **options: Any) -> None:
        project = self.project(options["project"])
        bar = TerminalProgress(self.stdout)
        try:
            report = picture_import.import_folder(project, None, options["directory"], progress=bar)
        except DomainError as error:
            raise CommandError(str(error)) from error
        finally:
            bar.close()
        self.print_import_report(report)
        for category in project.categories.filter(name__in=report.taken):
            if warning := picture_import.few_pictures_warning(category):
                self.stdout.write(self.style.WARNING(warning))

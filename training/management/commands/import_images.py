from typing import Any

from django.core.management.base import CommandError, CommandParser

from common.errors import DomainError
from training.data import picture_import
from training.management.terminal import ProjectCommand, TerminalProgress
from training.pool import proposals


class Command(ProjectCommand):
    help = (
        "Import labelled pictures: one folder per category; missing categories are made. Or, with "
        "--unlabelled, pictures without labels. Again: only what is new."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("directory", metavar="DIR")
        parser.add_argument(
            "--unlabelled",
            action="store_true",
            help="The pictures in DIR and below have no label: the page “Label next” proposes "
            "which to label first.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        project = self.project(options["project"])
        bar = TerminalProgress(self.stdout)
        try:
            if options["unlabelled"]:
                report = picture_import.import_unlabelled_folder(
                    project, options["directory"], progress=bar
                )
                proposals.request_ranking(project)
            else:
                report = picture_import.import_folder(
                    project, None, options["directory"], progress=bar
                )
        except DomainError as error:
            raise CommandError(str(error)) from error
        finally:
            bar.close()
        self.print_import_report(report)
        for category in project.categories.filter(name__in=report.taken):
            if warning := picture_import.few_pictures_warning(category):
                self.stdout.write(self.style.WARNING(warning))

from typing import Any

from django.core.management.base import CommandError, CommandParser

from common.errors import DomainError
from training.data import picture_import
from training.management.terminal import ProjectCommand, TerminalProgress
from training.pool import proposals


class Command(ProjectCommand):
    help = (
        "Import labelled pictures: one folder per category; missing categories are made. Again: "
        "only what is new. A table labels.csv in the folder, or FOLDER.csv beside it, with the "
        "columns path, category, group and capture[...] may say more. With --unlabelled, pictures "
        "without labels."
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
        parser.add_argument("--labels", metavar="CSV", help="The table, if it is elsewhere.")
        parser.add_argument(
            "--sub-folders-are-groups",
            action="store_true",
            help="Pictures of one folder within a category's are of one part, lot or patient: all "
            "of them are trained on, or all tested with.",
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
                    project,
                    None,
                    options["directory"],
                    progress=bar,
                    labels=options["labels"],
                    sub_folders_are_groups=options["sub_folders_are_groups"],
                )
        except DomainError as error:
            raise CommandError(str(error)) from error
        finally:
            bar.close()
        self.print_import_report(report)
        for category in project.categories.filter(name__in=report.taken):
            if warning := picture_import.few_pictures_warning(category):
                self.stdout.write(self.style.WARNING(warning))

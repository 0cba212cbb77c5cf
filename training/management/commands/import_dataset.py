from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from common.errors import DomainError
from training.data import dataset_import, formats, picture_import
from training.management.terminal import ProjectCommand, TerminalProgress


class Command(ProjectCommand):
    help = (
        "Import a labelled data set: a folder or a ZIP with a folder per category (and folders of "
        "splits above), a table, COCO, a JSON export of Label Studio, or Parquet. Again: only "
        "what is new."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("path", metavar="PATH", help="A folder, a ZIP archive, or one file.")
        parser.add_argument(
            "--format",
            choices=sorted(formats.FORMATS),
            default="",
            help="Default: recognised by what is there.",
        )
        parser.add_argument(
            "--labels",
            metavar="FILE",
            help="The table or JSON file that says what the pictures show, if it is not with them.",
        )
        parser.add_argument(
            "--sub-folders-are-groups",
            action="store_true",
            help="Pictures of one folder within a category's are of one part, lot or patient.",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Say what would be imported; keep nothing."
        )
        parser.add_argument("--report", metavar="CSV", help="Write what became of each file.")

    def handle(self, *args: Any, **options: Any) -> None:
        project = self.project(options["project"])
        bar = TerminalProgress(self.stdout)
        try:
            with ExitStack() as stack:
                tree = formats.tree_of(Path(options["path"]))
                if labels := options["labels"]:
                    tree = formats.with_labels(tree, Path(labels))
                listener = None
                if options["report"]:
                    file = open(options["report"], "w", encoding="utf-8", newline="")  # noqa: SIM115
                    listener = dataset_import.report_writer(stack.enter_context(file))
                imported = dataset_import.import_dataset(
                    project,
                    tree,
                    by=None,
                    alias=options["format"],
                    sub_folders_are_groups=options["sub_folders_are_groups"],
                    dry_run=options["dry_run"],
                    progress=bar,
                    listener=listener,
                )
        except (DomainError, OSError) as error:
            raise CommandError(str(error)) from error
        finally:
            bar.close()
        self.stdout.write(f"Format: {imported.format.title}")
        self.print_import_report(imported.report)
        if sentence := dataset_import.split_sentence(imported.report.splits):
            self.stdout.write(sentence)
        if options["dry_run"]:
            self.stdout.write(self.style.WARNING("A dry run: nothing was kept."))
            return
        for category in project.categories.filter(name__in=imported.report.taken):
            if warning := picture_import.few_pictures_warning(category):
                self.stdout.write(self.style.WARNING(warning))

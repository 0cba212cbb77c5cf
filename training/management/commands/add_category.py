from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from common.errors import DomainError
from predictions import categories
from predictions.models import Project
from training.data import known_categories, picture_import, text_import
from training.management.terminal import TerminalProgress
from training.management.training_command import TrainingCommand
from training.runs.known_model import request_known_model


class Command(TrainingCommand):
    help = (
        "Add a category to a project, with pictures of it if a folder is named, or with texts of a "
        "file. Again: adds only what is new."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", metavar="NAME")
        parser.add_argument(
            "--images", metavar="DIR", help="A folder of pictures that all show this category."
        )
        parser.add_argument(
            "--texts",
            metavar="FILE",
            help="A file of texts of this category: .txt (a text on each line), .csv or .jsonl.",
        )
        parser.add_argument(
            "--known",
            metavar="CLASS",
            nargs="*",
            help="It is known beforehand, as these categories of ImageNet together (default: the "
            "one of the same name). With two known categories a worker makes a model of them.",
        )
        parser.add_argument("--retrain", action="store_true", help="Train a new model afterwards.")
        self.add_training_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        project = self.project(options["project"])
        bar = TerminalProgress(self.stdout)
        has_texts = project.modality == Project.Modality.TEXT
        if options["texts" if not has_texts else "images"]:
            wanted = "--texts FILE" if has_texts else "--images DIR"
            raise CommandError(
                f"The project '{project.slug}' holds {project.get_modality_display().lower()}: "
                f"use {wanted}."
            )
        try:
            # Asked before anything is added: a name may be none
            classes = self._known_classes(options)
            category, is_new = categories.add_category(project, options["name"])
            self.stdout.write(f"Category {category.name}: {'added' if is_new else 'there already'}")
            if classes:
                self._add_known(project, category.name, classes)
            if options["images"]:
                report = picture_import.import_folder(
                    project, category, options["images"], progress=bar
                )
                bar.close()
                self.print_import_report(report)
            if options["texts"]:
                report = text_import.import_text_file(
                    project, category, options["texts"], progress=bar
                )
                bar.close()
                self.print_import_report(report)
        except DomainError as error:
            raise CommandError(str(error)) from error
        finally:
            bar.close()
        warning = picture_import.few_pictures_warning(category)
        if warning and not classes:
            self.stdout.write(self.style.WARNING(warning))
        if options["retrain"]:
            self.train(project, options)

    def _known_classes(self, options: dict[str, Any]) -> list[int]:
        if options["known"] is None:
            return []
        return known_categories.find_known_classes(options["known"] or [options["name"]])

    def _add_known(self, project: Project, name: str, classes: list[int]) -> None:
        with transaction.atomic():
            known_categories.add_known(project, name, classes)
            job = request_known_model(project)
        self.stdout.write(f"Known beforehand, by {len(classes)} of ImageNet's categories.")
        if job:
            self.stdout.write("A worker makes a model of the known categories now.")

"""Make a project."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from common.errors import DomainError
from predictions import projects
from predictions.models import Project


class Command(BaseCommand):
    help = "Make a project. Add categories next (add_category), then train a model (retrain)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="what people call it")
        parser.add_argument(
            "--slug",
            default="",
            help="its place in addresses and commands (default: from the name)",
        )

        parser.add_argument(
            "--texts",
            action="store_true",
            help="It classifies texts instead of pictures; this cannot be changed later.",
        )

    def handle(self, *, name: str, slug: str, texts: bool = False, **options: Any) -> None:
        modality = Project.Modality.TEXT if texts else Project.Modality.IMAGE
        try:
            project = projects.create_project(name, slug, modality=modality)
        except DomainError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(self.style.SUCCESS(f"Made the project {project.name} ({project.slug})."))
        source = "--texts FILE" if texts else "--images DIR"
        self.stdout.write(f"Next: manage.py add_category NAME --project {project.slug} {source}")

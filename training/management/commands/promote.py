from typing import Any

from django.core.management.base import CommandError, CommandParser

from common.errors import DomainError
from training.management.terminal import ProjectCommand
from training.runs import promotion


class Command(ProjectCommand):
    help = "Make a model version live, newer or older: it answers from the next upload on."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "number", type=int, metavar="NUMBER", help="The number of the model version."
        )
        parser.add_argument("--reason", default="", help="Kept with the promotion.")

    def handle(self, *args: Any, **options: Any) -> None:
        project = self.project(options["project"])
        version = project.model_versions.filter(number=options["number"]).first()
        if version is None:
            numbers = ", ".join(str(each.number) for each in project.model_versions.all()) or "none"
            raise CommandError(
                f"There is no version {options['number']} in {project.slug}. There are: {numbers}"
            )
        try:
            promotion.promote_version(version, by=None, reason=options["reason"])
        except DomainError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            self.style.SUCCESS(f"Version {version.number} of {project.slug} is live now.")
        )

"""`manage.py demo`: a project to try things on, with users and a first model."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from classifr import demo
from common.errors import DomainError
from predictions import registry
from training.management.training_command import TrainingCommand

FIRST_RUN = {"trainer": "", "seed": 0, "fine_tune": False, "promote": True}


class Command(TrainingCommand):
    help = (
        "Makes the demo projects, their users and first models, as far as they are missing, and "
        "shows the users."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        # No --project: it is the demo's own.
        parser.add_argument(
            "--hide-users",
            action="store_true",
            help="Do not show the users; `serve --show-demo` does it later.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            demo.make_users()
            project = demo.make_project()
            new = demo.load_demo_samples(project)
            texts = demo.make_text_project()
        except ValidationError as error:
            raise CommandError(f"{demo.PASSWORD_VARIABLE}: {' '.join(error.messages)}") from error
        except DomainError as error:
            raise CommandError(str(error)) from error
        if new:
            self.stdout.write(f"Loaded {new} labelled samples into the project “{project}”.")
        if registry.live_version(project) is None:
            self.stdout.write("Training the first model; this takes some seconds.")
            self.train(project, FIRST_RUN | {"backbone": demo.BACKBONE})
        if registry.live_version(texts) is None:
            self.stdout.write("Training a model of texts.")
            self.train(texts, FIRST_RUN | {"backbone": ""})
        if not options["hide_users"]:
            self.stdout.write(demo.format_users())

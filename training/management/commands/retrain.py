from typing import Any

from django.core.management.base import CommandParser

from training.management.training_command import TrainingCommand


class Command(TrainingCommand):
    help = "Train a new model on what is known to be true now, measure it, and register it."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        self.add_training_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        self.train(self.project(options["project"]), options)

from typing import Any

from django.core.management.base import CommandError, CommandParser

from training.management.training_command import TrainingCommand
from training.models import TrainingRun


class Command(TrainingCommand):
    help = "Train a new model on what is known to be true now, measure it, and register it."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        self.add_training_arguments(parser)
        parser.add_argument(
            "--like",
            type=int,
            metavar="RUN",
            help="Repeat the run of this number in the project: train on the same data set, with "
            "its trainer, parameters and seed, and say whether the same model comes out.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["like"] is None:
            self.train(self.project(options["project"]), options)
        else:
            self.repeat(self._run_to_repeat(options))

    def _run_to_repeat(self, options: dict[str, Any]) -> TrainingRun:
        """Return the run that `--like` names; it says itself all else."""
        number = options["like"]
        if named := [
            name for name in ("backbone", "trainer", "seed", "fine_tune") if options[name]
        ]:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in named)
            raise CommandError(f"--like takes the options of run {number}; leave out {flags}.")
        project = self.project(options["project"])
        runs = project.runs.select_related("project", "dataset", "model_version")
        run = runs.filter(number=number).first()
        if run is None:
            raise CommandError(f"There is no run {number} in {project.slug}.")
        return run

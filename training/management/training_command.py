"""What commands share that train in their own process and print the outcome."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from common import jobs, tasks
from common.errors import DomainError
from predictions import registry
from predictions.models import Project
from training.evaluation import selective
from training.management.terminal import ProjectCommand, TerminalProgress, cancel_on_signal
from training.models import Evaluation, TrainingRun
from training.runs import execution, reproduction, submission

INTERRUPTED = 130  # what a shell calls a command that Ctrl-C ended


class TrainingCommand(ProjectCommand):
    def add_training_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--backbone", default="", metavar="NAME", help="Default: the trainer's own."
        )
        parser.add_argument(
            "--trainer", default="", metavar="ALIAS", help="Default: the project's own."
        )
        parser.add_argument(
            "--seed", type=int, default=0, metavar="N", help="Default: %(default)s."
        )
        parser.add_argument(
            "--fine-tune",
            action="store_true",
            help="Let the top of the backbone learn as well: minutes instead of seconds, and only "
            "with pictures.",
        )
        parser.add_argument(
            "--promote",
            action="store_true",
            help="Make the new model live if it is not worse than the live one on the same test "
            "pictures.",
        )

    def train(self, project: Project, options: dict[str, Any]) -> None:
        """Do a run here and now; Ctrl-C or SIGTERM cancels it.

        Raises:
            CommandError: if it is refused, fails or is cancelled. A model that is not promoted is
                no error.
        """
        wanted = submission.RunOptions(
            backbone=options["backbone"],
            trainer=options["trainer"],
            seed=options["seed"],
            fine_tune=options["fine_tune"],
            promote=options["promote"],
        )
        self._train(project, wanted)

    def repeat(self, run: TrainingRun) -> None:
        """Do a run again, and say whether it made the same model. Raises as `train` does."""
        try:
            again = self._train(run.project, submission.options_of(run))
        except DomainError as error:
            raise CommandError(str(error)) from error
        if found := reproduction.compare_with_repeated(again):
            style = self.style.SUCCESS if found.is_same else self.style.WARNING
            self.stdout.write(style(found.sentence))

    def _train(self, project: Project, options: submission.RunOptions) -> TrainingRun:
        # Or the job that this process does itself would be of an unknown kind
        tasks.autodiscover()
        # Asked before: a promoted model would be compared with itself
        live = registry.live_version(project)
        try:
            run, job = submission.submit_and_claim_run(project, options)
        except DomainError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Run {run.number}: training on data set version {run.dataset.number}")
        bar = TerminalProgress(self.stdout)
        try:
            with cancel_on_signal():
                jobs.run_job(job, watcher=bar)
        except execution.Interrupted:
            execution.cancel_run(run)
        finally:
            bar.close()
        # A run whose job broke is still active; there may be no worker that would end it
        execution.end_abandoned_runs(project)
        run.refresh_from_db()
        self._print_outcome(run, live.pk if live else 0, printed=bar.printed)
        return run

    def _print_outcome(self, run: TrainingRun, live: int, printed: set[str]) -> None:
        if run.status == TrainingRun.Status.CANCELLED:
            raise CommandError("Cancelled. Nothing was changed.", returncode=INTERRUPTED)
        if run.model_version is None:
            raise CommandError(
                run.error or "The run did not end. Nothing was changed; start again."
            )
        measured = {
            each.model_version_id: each
            for each in Evaluation.objects.filter(dataset=run.dataset).select_related(
                "model_version", "dataset"
            )
        }
        for line in run.log.splitlines():
            # What the bar has shown is not printed twice
            _time, _space, text = line.partition(" ")
            if text not in printed | {run.outcome}:
                self.stdout.write(f"  {text}")
        self.print_metrics(
            measured.get(run.model_version.pk), measured.get(live), run.model_version
        )
        self._print_threshold(run)
        self.stdout.write(self.style.SUCCESS(f"Registered version {run.model_version.number}."))
        if run.outcome:
            promoted = registry.live_version(run.project) == run.model_version
            self.stdout.write((self.style.SUCCESS if promoted else self.style.WARNING)(run.outcome))
            if run.promote and not promoted:
                self.stdout.write(
                    "To make it live all the same: manage.py promote "
                    f"{run.model_version.number} --project {run.project.slug}"
                )

    def _print_threshold(self, run: TrainingRun) -> None:
        """Print the threshold for the lowest wanted precision; the page of the run has them all."""
        first = next(iter(selective.stored_proposals(run)), None)
        if first is None:
            self.stdout.write("No abstain threshold proposed: too few validation samples.")
        elif first.threshold is None or first.validation is None:
            self.stdout.write(
                f"No abstain threshold reaches a precision of {first.wanted:g} on the validation "
                "split."
            )
        else:
            self.stdout.write(
                f"Proposed abstain threshold for a precision of {first.wanted:g}: "
                f"{first.threshold:.2f} (keeps {first.validation.kept} of {first.validation.count} "
                f"validation answers, {first.validation.right} of them right)"
            )

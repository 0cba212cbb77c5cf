import time
from typing import Any

from django.core.management.base import CommandError, CommandParser

from common import jobs, tasks
from common.errors import DomainError
from training.management.terminal import (
    ProjectCommand,
    TerminalProgress,
    cancel_on_signal,
    format_table,
)
from training.management.training_command import INTERRUPTED
from training.models import Sweep, TrainingRun
from training.runs import execution, sweeps

FINE_TUNING = {"no": (False,), "yes": (True,), "both": (False, True)}


class Command(ProjectCommand):
    help = (
        "Train one model after another on the same data set, for every combination of backbone, "
        "fine-tuning and seed, and compare them. Nothing is promoted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--backbone", nargs="+", default=[], metavar="NAME", help="Default: the trainer's own."
        )
        parser.add_argument(
            "--trainer", default="", metavar="ALIAS", help="Default: the project's own."
        )
        parser.add_argument(
            "--fine-tune", choices=FINE_TUNING, default="no", help="Default: %(default)s."
        )
        parser.add_argument(
            "--seeds",
            type=int,
            default=1,
            metavar="N",
            help="Runs of each combination, with the seeds 0, 1, 2 ... (default: %(default)s).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        project = self.project(options["project"])
        if not 1 <= options["seeds"] <= sweeps.MOST_SEEDS:
            raise CommandError(f"--seeds is a number from 1 to {sweeps.MOST_SEEDS}.")
        # Or the jobs that this process does itself would be of an unknown kind
        tasks.autodiscover()
        wanted = sweeps.SweepOptions(
            backbones=tuple(options["backbone"]),
            fine_tune=FINE_TUNING[options["fine_tune"]],
            seeds=tuple(range(options["seeds"])),
            trainer=options["trainer"],
        )
        try:
            sweep = sweeps.submit_sweep(project, wanted)
        except DomainError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{sweep.runs.count()} runs on data set version {sweep.dataset.number}")
        try:
            with cancel_on_signal():
                self._work_off(sweep)
        except execution.Interrupted as error:
            sweeps.cancel_sweep(sweep)
            raise CommandError(
                "Cancelled. What was trained until then is kept.", returncode=INTERRUPTED
            ) from error
        self._print_results(sweep)

    def _work_off(self, sweep: Sweep) -> None:
        """Do the runs one after another, as far as no worker does."""
        worker = jobs.new_worker_name()
        while sweeps.is_under_way(sweep):
            execution.end_abandoned_runs(sweep.project)
            sweeps.start_next(sweep.project)
            run = sweep.runs.active().first()
            job = jobs.claim_job(run.job_id, worker) if run and run.job_id else None
            if run is None or job is None:
                time.sleep(1)  # a worker has taken it, or another run of the project is active
                continue
            self.stdout.write(f"Run {run.number}: {_configuration(run)}")
            bar = TerminalProgress(self.stdout)
            try:
                jobs.run_job(job, watcher=bar)
            finally:
                bar.close()
            execution.end_abandoned_runs(sweep.project)
            run.refresh_from_db()
            # The task turns the signal into the end of its run, and the rest must not begin
            if run.status == TrainingRun.Status.CANCELLED and sweeps.is_under_way(sweep):
                raise execution.Interrupted

    def _print_results(self, sweep: Sweep) -> None:
        headings = ("run", "configuration", "version", "accuracy", "95 %", "macro F1")
        rows = []
        for result in sweeps.sweep_results(sweep):
            figures, between = result.evaluation, result.accuracy_between
            version = result.run.model_version
            rows.append(
                (
                    str(result.run.number),
                    _configuration(result.run),
                    str(version.number) if version else result.run.status,
                    f"{figures.accuracy:.3f}" if figures else "-",
                    f"{between[0]:.2f}-{between[1]:.2f}" if between else "-",
                    f"{figures.macro_f1:.3f}" if figures else "-",
                )
            )
        self.stdout.write(format_table(headings, rows))
        self.stdout.write(
            f"To make one live: manage.py promote NUMBER --project {sweep.project.slug}"
        )


def _configuration(run: TrainingRun) -> str:
    parts = [run.parameters.get("backbone") or run.trainer]
    if run.parameters.get("fine_tune"):
        parts.append("fine-tuned")
    return ", ".join([*parts, f"seed {run.seed}"])

"""What the training room does in the background."""

from collections.abc import Mapping
from typing import Any

from common import jobs, languages
from common.progress import Progress
from training import retraining, runs
from training.custom_vision import errands
from training.models import ImportedProject, TrainingRun


@jobs.handler(retraining.JOB)
def run(payload: Mapping[str, Any], progress: Progress) -> None:
    """Do a training run. Delivered again after a crash it starts over, after its end it does nothing."""
    if found := TrainingRun.objects.filter(pk=payload["run"]).first():
        with languages.spoken_in(payload):
            runs.execute(found, progress)


@jobs.every(15)
def settle_abandoned_runs() -> None:
    runs.settle_abandoned()


@jobs.handler(errands.JOB)
def import_custom_vision(payload: Mapping[str, Any], progress: Progress) -> None:
    """Bring a project home. Delivered again after a crash it goes on with what is not here yet."""
    rows = ImportedProject.objects.select_related("project", "access", "requested_by")
    if found := rows.filter(pk=payload["imported"]).first():
        with languages.spoken_in(payload):
            errands.execute(
                found,
                progress,
                with_predictions=payload["with_predictions"],
                checks_bytes=payload["checks_bytes"],
            )


@jobs.every(20)
def forget_keys() -> None:
    errands.forget_keys()

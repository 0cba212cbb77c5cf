"""What the training room does in the background."""

from collections.abc import Mapping
from typing import Any

from common import jobs, languages
from common.progress import Progress
from training import retraining, runs
from training.models import TrainingRun


@jobs.handler(retraining.JOB)
def run(payload: Mapping[str, Any], progress: Progress) -> None:
    """Do a training run. Delivered again after a crash it starts over, after its end it does nothing."""
    if found := TrainingRun.objects.filter(pk=payload["run"]).first():
        with languages.spoken_in(payload):
            runs.execute(found, progress)


@jobs.every(15)
def settle_abandoned_runs() -> None:
    runs.settle_abandoned()

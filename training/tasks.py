"""What the training room does in the background."""

from collections.abc import Mapping
from typing import Any

from common import jobs, languages
from common.progress import Progress
from training.models import TrainingRun
from training.runs import execution, submission


@jobs.handler(submission.JOB)
def run(payload: Mapping[str, Any], progress: Progress) -> None:
    """Do a training run. Delivered again after a crash it starts over, after its end it does
    nothing.
    """
    if found := TrainingRun.objects.filter(pk=payload["run"]).first():
        with languages.spoken_in(payload):
            execution.execute_run(found, progress)


@jobs.every(15)
def settle_abandoned_runs() -> None:
    execution.end_abandoned_runs()

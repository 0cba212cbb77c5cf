"""How far a run is: the stages it has come to, how long each took, and what time is left."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from common.models import Job
from training.models import TrainingRun

# Before that, the first pictures say little about all of them
SECONDS_TO_JUDGE = 3
SHARE_TO_JUDGE = 0.05


@dataclass(frozen=True)
class Stage:
    """One stage: `left` is how long its progress will go on at this pace, None where unknown."""

    note: str
    spent: timedelta
    is_done: bool
    left: timedelta | None = None


def stages_of(run: TrainingRun) -> Sequence[Stage]:
    """Return the stages of a run that works or has ended, the one under way last.

    A run that waits for a worker has none: what an earlier try had done, the next does again.
    """
    job = run.job
    if not run.stages or (run.is_active and (job is None or job.status != Job.Status.RUNNING)):
        return []
    now = run.finished_at or timezone.now()
    begun = [datetime.fromisoformat(each["began"]) for each in run.stages]
    ended = [*begun[1:], now]
    stages = [
        Stage(stored["note"], max(end - start, timedelta()), is_done=True)
        for stored, start, end in zip(run.stages, begun, ended, strict=True)
    ]
    if run.is_active and job:
        last = stages[-1]
        left = _time_left(job, run.stages[-1]["done"], last.spent)
        stages[-1] = Stage(job.progress_note or last.note, last.spent, is_done=False, left=left)
    return stages


def _time_left(job: Job, done_before: int, spent: timedelta) -> timedelta | None:
    """Return how long the progress takes from here to its end at the pace of this stage."""
    gained = job.progress_done - done_before
    enough = max(1, SHARE_TO_JUDGE * job.progress_total)
    if gained < enough or spent.total_seconds() < SECONDS_TO_JUDGE:
        return None
    return spent * ((job.progress_total - job.progress_done) / gained)

"""The rows of background work: inserted, claimed, run, tried again, cancelled.

What is done, `common.tasks` says. Delivery is at least once: a worker that dies is noticed by its
silent heartbeat and the job is taken up again, so a task must be safe to run twice. Why not a queue
library: the row has to be ours anyway, to be written together with the fact that asks for it and to
be seen on a page, and a second queue beside it would add a way to lose track.
"""

import logging
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from common import logs
from common.errors import DomainError
from common.models import Job, JobQuerySet
from common.progress import Cancelled, Progress, no_progress

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10
STALLED_AFTER_SECONDS = 60
FIRST_RETRY_SECONDS = 2
MAX_RETRY_SECONDS = 300
KEEP_FINISHED_DAYS = 7
KEEP_FAILED_DAYS = 30

Runner = Callable[[Job, Progress], None]

_runners: dict[str, Runner] = {}  # by kind


class AlreadyEnqueued(Exception):
    """A job with this key is already waiting or running."""


class RetryLater(Exception):
    """Raised by a task: not now, try again; the message says why."""


def register_runner(kind: str, runner: Runner) -> None:
    """Say what does the jobs of a kind."""
    _runners[kind] = runner


def insert(
    kind: str,
    payload: Mapping[str, Any] | None = None,
    *,
    queue: str = "default",
    key: str = "",
    delay_seconds: float = 0,
    max_attempts: int = 10,
) -> Job:
    """Write the row of a job; it becomes visible to workers when the caller's transaction commits.

    Raises:
        AlreadyEnqueued: if `key` is given and a job with it is waiting or running.
    """
    due_at = timezone.now() + timedelta(seconds=delay_seconds)
    try:
        # A savepoint: the caller's transaction has to survive the refusal of a second key.
        with transaction.atomic():
            return Job.objects.create(
                kind=kind,
                payload=dict(payload or {}),
                queue=queue,
                key=key,
                due_at=due_at,
                max_attempts=max_attempts,
                request_id=logs.current_request_id(),
            )
    except IntegrityError as error:
        if not key:
            raise
        raise AlreadyEnqueued(key) from error


def is_active(key: str) -> bool:
    """Say whether a job with this key is waiting or running."""
    return Job.objects.active().filter(key=key).exists()


def request_cancel(job: Job) -> None:
    """Stop a job: a waiting one at once, a running one at its next call of `progress`.

    The wish is written down first, so that it holds too for a job that is taken or put back at this
    very moment.
    """
    Job.objects.active().filter(pk=job.pk).update(cancel_requested=True)
    Job.objects.filter(pk=job.pk, status=Job.Status.WAITING, cancel_requested=True).update(
        status=Job.Status.CANCELLED, finished_at=timezone.now()
    )


def try_again(job: Job) -> bool:
    """Put a failed job back into the queue, as if it were new; False when it has not failed.

    Raises:
        AlreadyEnqueued: if another with its key is waiting or running.
    """
    failed = Job.objects.filter(pk=job.pk, status=Job.Status.FAILED)
    try:
        with transaction.atomic():
            return bool(
                failed.update(
                    status=Job.Status.WAITING,
                    attempts=0,
                    due_at=timezone.now(),
                    finished_at=None,
                    cancel_requested=False,
                )
            )
    except IntegrityError as error:
        raise AlreadyEnqueued(job.key) from error


def retry_now(kind: str, *, most: int = 100) -> int:
    """Have jobs of a kind whose last attempt failed tried again at once; return how many.

    For a task that has just found what they failed for want of, such as a storage that answers
    again: they need not wait until it is their turn. The ones that would wait the shortest are
    first.
    """
    failed = Job.objects.filter(kind=kind, status=Job.Status.WAITING).exclude(error="")
    waiting = failed.filter(due_at__gt=timezone.now()).order_by("due_at")
    # The status once more, for one that another worker takes at this moment.
    return failed.filter(pk__in=list(waiting.values_list("pk", flat=True)[:most])).update(
        due_at=timezone.now()
    )


def new_worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


def claim_next(worker: str, queue: str) -> Job | None:
    """Take the next due job of a queue; of several workers that try, one gets it."""
    # Some to choose from: where others take the first ones at the same moment, one is left.
    for pk in Job.objects.due().filter(queue=queue).values_list("pk", flat=True)[:10]:
        if job := claim_job(pk, worker):
            return job
    return None


def claim_job(pk: int, worker: str) -> Job | None:
    """Take this very job; None when another worker has taken it."""
    # The filter on the status is the lock: of two such UPDATEs one changes the row.
    mine = Job.objects.filter(pk=pk, status=Job.Status.WAITING).update(
        status=Job.Status.RUNNING,
        taken_by=worker,
        heartbeat_at=timezone.now(),
        attempts=F("attempts") + 1,
        error="",
        progress_done=0,
        progress_note="",
    )
    return Job.objects.get(pk=pk) if mine else None


def requeue_stalled() -> int:
    """Put jobs whose worker has gone silent back into the queue, or fail those out of attempts.

    A worker beats every HEARTBEAT_SECONDS, and each of them looks for stalled jobs about as often,
    so a job whose worker was killed goes on within two minutes.

    Returns:
        How many jobs were found stalled.
    """
    silent_since = timezone.now() - timedelta(seconds=STALLED_AFTER_SECONDS)
    stalled = Job.objects.filter(status=Job.Status.RUNNING, heartbeat_at__lt=silent_since)
    cancelled = stalled.filter(cancel_requested=True).update(
        status=Job.Status.CANCELLED, finished_at=timezone.now(), taken_by=""
    )
    given_up = stalled.filter(attempts__gte=F("max_attempts")).update(
        status=Job.Status.FAILED,
        error="The worker died too often.",
        finished_at=timezone.now(),
        taken_by="",
    )
    again = stalled.update(status=Job.Status.WAITING, due_at=timezone.now(), taken_by="")
    return cancelled + given_up + again


def run_job(job: Job, *, watcher: Progress = no_progress) -> None:
    """Do a job that was taken, and write down how it ended; `watcher` is told the progress too.

    Never raises for what the task does. Where the end cannot be written down because the
    database is gone, it raises the database's error, and the job is done again when its heartbeat
    has been silent for long enough. `watcher` is told of the progress too, and may raise Cancelled.
    """
    with logs.working_for(job.request_id or f"job-{job.pk}"):
        _run(job, watcher)


def _run(job: Job, watcher: Progress) -> None:
    runner = _runners.get(job.kind)
    if runner is None:
        logger.error("job %s: nothing here knows how to do %s", job.pk, job.kind)
        _finish(
            job,
            Job.Status.FAILED,
            error=f"No handler is registered for jobs of the kind '{job.kind}'.",
        )
        return
    try:
        with _heartbeat(job):
            runner(job, _Reporter(job, watcher))
    except Cancelled:
        _finish(job, Job.Status.CANCELLED)
    except RetryLater as error:
        _retry(job, str(error))
    except DomainError as error:
        logger.warning("job %s (%s) failed: %s", job.pk, job.kind, error)
        _finish(job, Job.Status.FAILED, error=str(error))
    except Exception as error:
        logger.exception("job %s (%s) broke in attempt %s", job.pk, job.kind, job.attempts)
        # Within a test's transaction the connection is not ours to close.
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        _retry(job, f"{type(error).__name__}: {error}")
    else:
        _finish(job, Job.Status.SUCCEEDED)


def run_due_jobs(queue: str = "default", *, limit: int = 1000) -> int:
    """Take and do the due jobs of a queue until none is left; return how many were done."""
    worker = new_worker_name()
    for done in range(limit):
        job = claim_next(worker, queue)
        if job is None:
            return done
        run_job(job)
    return limit


def requeue(job: Job) -> bool:
    """Leave a job under way to the next worker, at once and without counting the attempt."""
    return bool(
        _mine(job).update(
            status=Job.Status.WAITING,
            due_at=timezone.now(),
            taken_by="",
            attempts=F("attempts") - 1,
        )
    )


def delete_finished_jobs() -> int:
    """Delete jobs that ended long ago; failed ones stay longer, for whoever asks what happened."""
    now = timezone.now()
    failed_before = now - timedelta(days=KEEP_FAILED_DAYS)
    others_before = now - timedelta(days=KEEP_FINISHED_DAYS)
    old = Q(status=Job.Status.FAILED, finished_at__lt=failed_before) | Q(
        status__in=[Job.Status.SUCCEEDED, Job.Status.CANCELLED], finished_at__lt=others_before
    )
    deleted, _rows_per_model = Job.objects.filter(old).delete()
    return deleted


def _mine(job: Job) -> JobQuerySet:
    """Return the row as long as it is in the hands that took it, and not taken up elsewhere."""
    return Job.objects.filter(
        pk=job.pk, status=Job.Status.RUNNING, taken_by=job.taken_by, attempts=job.attempts
    )


class _Reporter:
    """The `Progress` of a job: writes it down, and passes on the wish to cancel."""

    def __init__(self, job: Job, watcher: Progress = no_progress) -> None:
        self._watcher = watcher
        self._mine = _mine(job)

    def __call__(self, done: int, total: int, note: str = "") -> None:
        # A sign of life as well: a task that tells its progress often is not taken for stalled.
        self._mine.update(
            progress_done=done,
            progress_total=total,
            progress_note=note[:300],
            heartbeat_at=timezone.now(),
        )
        if not self._mine.filter(cancel_requested=False).exists():
            raise Cancelled
        self._watcher(done, total, note)


@contextmanager
def _heartbeat(job: Job) -> Iterator[None]:
    """Keep a job's heartbeat fresh while its task is busy."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(HEARTBEAT_SECONDS):
            try:
                _mine(job).update(heartbeat_at=timezone.now())
            except Exception as error:
                logger.warning("no heartbeat for job %s: %s", job.pk, error)
                # It may be broken; the next beat opens another.
                connection.close()
        # Each thread has a connection of its own, which nobody else would close.
        connection.close()

    thread = threading.Thread(target=beat, name=f"heartbeat-{job.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5)


def _finish(job: Job, status: Job.Status, *, error: str = "") -> None:
    if not _mine(job).update(status=status, error=error, finished_at=timezone.now(), taken_by=""):
        logger.warning(
            "job %s was given to another worker meanwhile; its end here does not count", job.pk
        )


def _retry(job: Job, error: str) -> None:
    """Put a job back for later, or end it: cancelled, or out of attempts."""
    if _mine(job).filter(cancel_requested=True).exists():
        _finish(job, Job.Status.CANCELLED, error=error)
    elif job.attempts >= job.max_attempts:
        _finish(job, Job.Status.FAILED, error=error)
    else:
        due_at = timezone.now() + timedelta(seconds=retry_delay_seconds(job.attempts))
        _mine(job).update(status=Job.Status.WAITING, error=error, due_at=due_at, taken_by="")


def retry_delay_seconds(attempts: int) -> float:
    """Return how long to wait after so many attempts: doubling up to MAX_RETRY_SECONDS."""
    # Spread by a fifth, so that jobs which failed together do not come back together. The exponent
    # is bounded, as a job may be tried a million times.
    wait = min(FIRST_RETRY_SECONDS * 2 ** min(attempts - 1, 20), MAX_RETRY_SECONDS)
    return wait * random.uniform(0.8, 1.2)  # noqa: S311

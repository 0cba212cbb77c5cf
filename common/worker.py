"""The process that does background work: threads for queues, periodic tasks and stalled jobs."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from common import jobs, tasks
from common.models import Job

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
RECLAIM_SECONDS = 10
PRUNE_SECONDS = 3600
MAX_PAUSE_SECONDS = 10


class Worker:
    """Takes jobs of some queues until it is told to stop; a database that is gone it waits for.

    A queue that is named twice is worked on by two threads.
    """

    def __init__(self, queues: Sequence[str]) -> None:
        self.queues = queues
        self.name = jobs.new_worker_name()
        self.stopping = threading.Event()
        self._in_hand: dict[str, Job] = {}
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for place, queue in enumerate(self.queues):
            # A name for each thread: what tells their jobs apart, also in the rows.
            self._start_thread(f"{queue}-{place}", self._work_on, f"{self.name}/{place}", queue)
        self._start_thread("periodic", self._call_periodic_tasks)
        self._start_thread("stalled", self._reclaim)

    def _start_thread(self, name: str, target: Callable[..., None], *arguments: str) -> None:
        thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self, grace_seconds: float) -> None:
        """Take nothing new, wait so long for what is in hand, and put the rest back.

        A task that was put back may still be at work: the process has to end now.
        """
        self.stopping.set()
        give_up_at = time.monotonic() + grace_seconds
        for thread in self._threads:
            thread.join(max(0.0, give_up_at - time.monotonic()))
        for job in list(self._in_hand.values()):
            logger.info("job %s (%s) is put back for the next worker", job.pk, job.kind)
            self._patiently(lambda job=job: jobs.requeue(job), attempts=1)  # type: ignore[misc]
        connection.close()

    @property
    def is_busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _work_on(self, name: str, queue: str) -> None:
        def do_next() -> bool:
            # As Django does before each request: a connection that is too old or broken is given
            # up.
            close_old_connections()
            job = jobs.claim_next(name, queue)
            if job is None:
                return False
            self._in_hand[name] = job
            try:
                jobs.run_job(job)
            finally:
                del self._in_hand[name]
            return True

        while not self.stopping.is_set():
            did_something = self._patiently(do_next)
            # After a job the next one at once: only an empty queue is worth a pause.
            if not did_something:
                self.stopping.wait(POLL_SECONDS)
        connection.close()

    def _call_periodic_tasks(self) -> None:
        # A worker that starts owes every task a call, however long ago the last one was.
        due: dict[str, float] = {}
        while not self.stopping.wait(1):
            for name, seconds, function in tasks.periodic_tasks():
                if self.stopping.is_set() or due.get(name, 0) > time.monotonic():
                    continue
                self._patiently(function, attempts=1)
                due[name] = time.monotonic() + seconds
        connection.close()

    def _reclaim(self) -> None:
        prune_at = 0.0
        while not self.stopping.wait(RECLAIM_SECONDS):
            found = self._patiently(jobs.requeue_stalled, attempts=1)
            if found:
                logger.warning("%s jobs were stalled: their worker is gone", found)
            if time.monotonic() > prune_at:
                self._patiently(jobs.delete_finished_jobs, attempts=1)
                prune_at = time.monotonic() + PRUNE_SECONDS
        connection.close()

    def _patiently(self, step: Callable[[], object], *, attempts: int = 0) -> object:
        """Return what a step returns; wait for a database that is gone, log any other trouble.

        Args:
            step: what to do.
            attempts: how often to try; 0 for as long as this worker lives.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return step()
            except (DatabaseError, InterfaceError) as error:
                pause = min(0.5 * 2 ** min(attempt, 10), MAX_PAUSE_SECONDS)
                logger.warning(
                    "The database does not answer, trying again in %.0f s: %s", pause, error
                )
                connection.close()
                if attempt == attempts or self.stopping.wait(pause):
                    return None
            except Exception:
                logger.exception("%s failed", threading.current_thread().name)
                self.stopping.wait(POLL_SECONDS)
                return None

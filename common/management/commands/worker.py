"""`manage.py worker`: do the background work until told to stop."""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from common import jobs, processes, tasks
from common.worker import Worker


class Command(BaseCommand):
    help = (
        "Does the background work: jobs of the queues, regular chores, and jobs whose worker died."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--queues",
            default="default,default,training,imports,shadow,analysis",
            help="A thread works on each of these; naming one twice gives it two (default: "
            "%(default)s).",
        )
        parser.add_argument("--once", action="store_true", help="Do what is due now, then end.")
        parser.add_argument(
            "--grace-seconds",
            type=float,
            default=8,
            help="How long a job in hand may go on after SIGTERM before it is put back (default: "
            "%(default)s).",
        )

    def handle(self, *, queues: str, once: bool, grace_seconds: float, **options: Any) -> None:
        names = [name.strip() for name in queues.split(",") if name.strip()]
        tasks.autodiscover()
        if once:
            jobs.requeue_stalled()
            done = sum(jobs.run_due_jobs(name) for name in names)
            self.stdout.write(f"{done} jobs done.")
            return
        processes.terminate_with_parent()  # as `serve` starts it
        # A handler only sets the event: what stopping takes is no work for a signal handler.
        told = threading.Event()
        for how in (signal.SIGTERM, signal.SIGINT):
            signal.signal(how, lambda number, frame: told.set())
        worker = Worker(names)
        worker.start()
        self.stdout.write(f"Working on {', '.join(names)}.")
        told.wait()
        worker.stop(grace_seconds)
        if worker.is_busy:
            processes.exit_immediately()  # handlers are still at work; what they did is done again

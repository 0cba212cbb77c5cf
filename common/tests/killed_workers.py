"""Run by test_killed_workers in a process of its own: workers are killed until all is done.

    DATABASE_URL=... python -m common.tests.killed_workers JOBS KILLS

Prints, as JSON, how many kills there were, the jobs by status, the effects and the attempts.
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from typing import Any

import django
from django.core.management import call_command
from django.db import connections, transaction

FEW = 50  # with fewer to do than this, workers would be killed while they are idle
QUEUES = ["default", "default"]


def work_until_killed() -> None:
    """Be a worker that knows one kind of job: it makes a category, in slow steps."""
    from common.progress import Progress
    from common.tasks import task
    from common.worker import Worker
    from predictions.models import Category, Project

    @task("test.add")
    def add(progress: Progress, name: str) -> None:
        for step in range(3):
            progress(step, 3)
            time.sleep(0.01)
        with transaction.atomic():
            Category.objects.get_or_create(project=Project.objects.get(), name=name)
            time.sleep(0.01)

    Worker(QUEUES).start()
    signal.pause()


def fork_worker() -> int:
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        try:
            work_until_killed()
        finally:
            os._exit(1)
    return pid


def main(number_of_jobs: int, kills: int) -> dict[str, Any]:
    """Return what came of it all."""
    from common import jobs, worker
    from common.models import Job
    from predictions.models import Category, Project

    jobs.HEARTBEAT_SECONDS, jobs.STALLED_AFTER_SECONDS, worker.RECLAIM_SECONDS = 0.05, 1, 0.1  # type: ignore[assignment]
    worker.POLL_SECONDS = 0.02
    call_command("migrate", verbosity=0)
    Project.objects.create(name="Dishes", slug="dishes")

    def ask_for(more: int) -> None:
        asked = Job.objects.count()
        for number in range(asked, asked + more):
            jobs.insert("test.add", {"name": f"dish {number}"}, max_attempts=1000)

    ask_for(number_of_jobs)
    killed = 0
    give_up_at = time.monotonic() + 180
    while (killed < kills or Job.objects.active().exists()) and time.monotonic() < give_up_at:
        if killed < kills and Job.objects.active().count() < FEW:
            ask_for(FEW)
        pid = fork_worker()
        patience = random.uniform(0.05, 0.6) if killed < kills else 30
        until = time.monotonic() + patience
        while time.monotonic() < until and (killed < kills or Job.objects.active().exists()):
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        killed += 1
    return {
        "kills": killed,
        "jobs": Job.objects.count(),
        "statuses": Counter(Job.objects.values_list("status", flat=True)),
        "effects": Category.objects.count(),
        "attempts": sum(Job.objects.values_list("attempts", flat=True)),
    }


if __name__ == "__main__":
    django.setup()
    sys.stdout.write(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))

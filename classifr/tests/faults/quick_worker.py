"""`manage.py worker` with shorter waits, and a step where it stops and says so, to be killed there.

    python -m classifr.tests.faults.quick_worker [--stop-at train|promote|classify FILE]

FILE appears when the step is reached; the process then waits there for ever.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
from django.core.management import call_command

SETTLE_SECONDS = 7  # Azurite writes down what it acknowledged about every five


def shorten_waits() -> None:
    from django.core.files.storage import storages

    from common import jobs, worker
    from predictions import outbox

    jobs.HEARTBEAT_SECONDS, jobs.STALLED_AFTER_SECONDS = 0.2, 2  # type: ignore[assignment]
    jobs.FIRST_RETRY_SECONDS, jobs.MAX_RETRY_SECONDS = 0.2, 1  # type: ignore[assignment]
    worker.POLL_SECONDS, worker.RECLAIM_SECONDS = 0.05, 0.2  # type: ignore[assignment]
    outbox.SETTLE_SECONDS = SETTLE_SECONDS
    assert storages["misclassified"]  # imported now, so that a kill hits the work and not the start


def stop_after(owner: Any, name: str, reached: Path) -> None:
    """Have a function of a module or class do its work and then never return."""
    function: Callable = getattr(owner, name)

    def do_and_wait(*args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)
        reached.touch()
        time.sleep(3600)

    setattr(owner, name, do_and_wait)


def stop_at(step: str, reached: Path) -> None:
    from predictions import classification, registry
    from training.trainers.dummy import DummyTrainer

    match step:
        case "train":
            stop_after(DummyTrainer, "train", reached)
        case "promote":  # inside of the transaction, with the promotion's row written
            stop_after(registry, "promote_version", reached)
        case "classify":
            stop_after(classification, "record_predictions", reached)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stop-at", nargs=2, metavar=("STEP", "FILE"))
    wanted = parser.parse_args().stop_at
    django.setup()
    shorten_waits()
    if wanted:
        stop_at(wanted[0], Path(wanted[1]))
    call_command("worker")


if __name__ == "__main__":
    main()

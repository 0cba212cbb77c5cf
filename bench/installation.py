"""A Classifr of its own for a measurement: an empty data folder, its commands, its server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench import watching
from scripts.services import wait_until

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 240
END_SECONDS = 30


class NeverAnswered(Exception):
    """A server did not come up; the message says what it printed last."""


@dataclass(frozen=True)
class Running:
    """A server that answers: its first process, and the seconds from that one's start to the first
    answer.
    """

    pid: int
    ready_after: float


class Site:
    """An installation whose data lies in `folder`; rates and quotas are out of the way."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "CLASSIFR_DATA_DIR": str(folder),
            "UPLOAD_RATE": "1000000/s",
            "UPLOAD_QUOTA": "1000000000",
            "UPLOAD_MEGAPIXELS": "1000",
            "API_RATE": "1000000/s",
            "LOG_LEVEL": "WARNING",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            **environment,
        }

    def manage(self, *words: str) -> str:
        """Run a management command and return what it printed. Raises CalledProcessError when it
        fails.
        """
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment,
            check=True,
            text=True,
            stdout=subprocess.PIPE,
        )
        return done.stdout

    def timed(self, *words: str) -> float:
        """Run a management command and return the seconds that its process took, start-up and
        imports included.
        """
        started = time.perf_counter()
        self.manage(*words)
        return time.perf_counter() - started


@contextmanager
def running(
    command: Sequence[str],
    environment: Mapping[str, str],
    answers: Callable[[], bool],
    *,
    log: Path,
) -> Iterator[Running]:
    """Run a server until the block ends; it starts when the server answers. What it prints goes
    into `log`.

    Raises:
        NeverAnswered: not within `READY_SECONDS`, or it ended before.
    """
    started = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)

    def answers_or_ended() -> bool:
        if process.poll() is not None:
            raise NeverAnswered(f"it ended with status {process.returncode}: {_last_line(log)}")
        return answers()

    try:
        try:
            wait_until(answers_or_ended, command[-1], timeout_seconds=READY_SECONDS)
        except TimeoutError as error:
            raise NeverAnswered(f"no answer within {READY_SECONDS} s: {_last_line(log)}") from error
        yield Running(process.pid, time.perf_counter() - started)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server and whatever it started and left behind."""
    every = watching.tree(process.pid)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=END_SECONDS)
    for left in (one for one in every if watching.is_same(one)):
        with suppress(ProcessLookupError):
            os.kill(left.pid, signal.SIGKILL)
    process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"

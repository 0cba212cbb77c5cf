"""A Classifr of its own for a measurement: an empty data folder, its commands, its server."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.services import free_port, wait_until

ROOT = Path(__file__).resolve().parent.parent


class Site:
    """An installation whose data lies in `folder`; rates and quotas are out of the way."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.environment = os.environ | {
            "CLASSIFR_DATA_DIR": str(folder),
            "UPLOAD_RATE": "1000000/s",
            "UPLOAD_QUOTA": "1000000000",
            "API_RATE": "1000000/s",
            "LOG_LEVEL": "WARNING",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            **environment,
        }

    def manage(self, *words: str) -> str:
        """Run a management command and return what it printed. Raises CalledProcessError when it fails."""
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
        """Run a management command and return the seconds that its process took, start-up and imports included."""
        started = time.perf_counter()
        self.manage(*words)
        return time.perf_counter() - started

    @contextmanager
    def serving(self) -> Iterator[int]:
        """Serve, web and worker, on a free port; gives the port."""
        port = free_port()
        with running([sys.executable, "manage.py", "serve", "--port", str(port)], port, self.environment, "/healthz"):
            yield port


@contextmanager
def running(command: list[str], port: int, environment: dict[str, str], ready_path: str) -> Iterator[None]:
    """Run a server until the block ends; it starts when `ready_path` answers."""
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers(port, ready_path), " ".join(command), timeout_seconds=120)
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False

"""Keeps the web server and the worker running, for machines without a process manager."""

import http.client
import ipaddress
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from django.conf import settings

from common import processes

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0
STEADY_AFTER_SECONDS = 60.0
END_SECONDS = 12.0
FAILURES_BEFORE_GIVING_UP = 3


class PortInUse(Exception):
    """Another process listens there already."""


class StartupFailed(Exception):
    """The web server gave up by itself, again and again, before it answered once."""


def ensure_port_free(bind: str, port: int) -> None:
    """Raise PortInUse if nothing can be served there."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family) as probe:
        # As gunicorn does: a port whose last connections are still ending counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind.strip("[]"), port))
        except OSError as error:
            raise PortInUse(error.strerror) from error


def is_loopback(bind: str) -> bool:
    """Say whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(bind.strip("[]")).is_loopback
    except ValueError:  # a name
        return bind == "localhost"


class Child:
    """A process that is started again when it ends by itself, after growing pauses."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self.command = command
        self.failures = 0  # how often it gave up by itself; to be killed is no failure of its own
        self._pause = FIRST_PAUSE_SECONDS
        self._start_at = 0.0
        self._started_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def tend(self) -> None:
        """Start the process if it is due, and notice if it has ended."""
        if self._process is not None and self._process.poll() is not None:
            code = self._process.returncode  # below zero: killed by that signal
            self.failures += code > 0
            self._plan_next_start(f"ended with status {code}")
        elif self._process is None and time.monotonic() >= self._start_at:
            self._start()

    def _start(self) -> None:
        self._started_at = time.monotonic()
        environment = processes.child_environment()
        try:
            # A session of its own: Ctrl-C reaches the supervisor alone, which then ends its
            # children in order.
            self._process = subprocess.Popen(  # noqa: S603
                self.command, cwd=settings.BASE_DIR, env=environment, start_new_session=True
            )
        except OSError as error:  # no memory or no process is to be had now
            self._plan_next_start(f"cannot be started ({error.strerror})")

    def _plan_next_start(self, what_happened: str) -> None:
        # One that ran well for a while is not punished for what came long before.
        if time.monotonic() - self._started_at > STEADY_AFTER_SECONDS:
            self._pause = FIRST_PAUSE_SECONDS
        logger.warning(
            "The %s %s; starting it again in %.0f s", self.name, what_happened, self._pause
        )
        self._process = None
        self._start_at = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, MAX_PAUSE_SECONDS)

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def wait_or_kill(self, until: float) -> None:
        """Wait for the end, and force it when the time is over."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            logger.warning("The %s does not end; killing it", self.name)
            self._process.kill()
            self._process.wait()


class Supervisor:
    """Runs the web server and the worker until `stopping` is set."""

    def __init__(self, bind: str, port: int) -> None:
        self.bind = bind
        self.port = port
        self.stopping = threading.Event()
        shown = f"[{bind}]" if ":" in bind and not bind.startswith("[") else bind
        gunicorn = [
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            "python:classifr.gunicorn",
            "-b",
            f"{shown}:{port}",
        ]
        self.web = Child("web server", [*gunicorn, "--log-level", "warning", "classifr.wsgi"])
        self.worker = Child("worker", [sys.executable, "-m", "classifr", "worker"])

    @property
    def address(self) -> str:
        return f"http://{self._host}:{self.port}{settings.URL_PREFIX}/"

    @property
    def _host(self) -> str:
        return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.bind, self.bind)  # noqa: S104

    def run(self, *, meanwhile: Callable[[], None], when_answering: Callable[[], None]) -> None:
        """Keep both running; call `when_answering` once, as soon as the web server answers.

        Args:
            meanwhile: is done while the web server starts, before the worker; what it raises ends
                everything.

        Raises:
            StartupFailed: if the web server cannot be started. One that others kill is started
                again, for ever.
        """
        answered = False
        try:
            self.web.tend()
            meanwhile()
            while not self.stopping.wait(0.2):
                self.web.tend()
                self.worker.tend()
                if not answered and self._answers():
                    answered = True
                    when_answering()
                if not answered and self.web.failures >= FAILURES_BEFORE_GIVING_UP:
                    raise StartupFailed
        finally:
            # Told both first: they end side by side, within one grace.
            until = time.monotonic() + END_SECONDS
            for child in (self.web, self.worker):
                child.terminate()
            for child in (self.web, self.worker):
                child.wait_or_kill(until)

    def _answers(self) -> bool:
        probe = http.client.HTTPConnection(self._host.strip("[]"), self.port, timeout=2)
        try:
            # As a proxy would ask, or HTTPS=true would redirect it. A refusal is an answer, too.
            probe.request(
                "GET", "/healthz", headers={"Host": "localhost", "X-Forwarded-Proto": "https"}
            )
            probe.getresponse().read()
        except OSError:
            return False
        finally:
            probe.close()
        return True


def default_port() -> int:
    return int(os.environ.get("PORT", "8000"))

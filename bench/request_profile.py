"""Where each millisecond of a request goes: POST predict through the whole WSGI application, in one
process.

Processor time is what counts, as it hardly depends on what else the machine does; waiting (for the
disk) is shown beside it. What gunicorn does to read the request is not in it.
"""

import functools
import importlib
import io
import itertools
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.installation import ROOT, Site
from bench.pictures import never_twice, photo_like

REQUESTS = 300
PATH = "/api/v1/projects/dishes/predict"
REST = "Django, REST framework, our Python"

# What is timed: a name for the table, and the function. Nested ones are taken out of the outer
# ones.
STAGES = {
    "rewriting the JPEG": "common.media.jpeg:strip_metadata",
    "taking the container apart": "common.media.formats:split_container",
    "decoding": "PIL.ImageFile:ImageFile.load",
    "encoding": "common.media.images:_encode",
    "other work on the picture": "common.media.images:decode_upload",
    "crop and scale to the model's input": (
        "predictions.predictors.local.preprocessing:crop_batch"
    ),
    "model": "predictions.predictors.local.engine:LiteRtEngine.run",
    "storing the file": "predictions.uploads:_store",
    "flushing to the disk": "os:fsync",
}


class Clock:
    """Adds up processor and wall seconds by stage; the time of an inner stage is not counted in the
    outer one.
    """

    def __init__(self) -> None:
        self.cpu: dict[str, float] = defaultdict(float)
        self.wall: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._inside: list[list[float]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._inside.append([0.0, 0.0])
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            took_cpu, took_wall = time.process_time() - cpu, time.perf_counter() - wall
            inner_cpu, inner_wall = self._inside.pop()
            self.cpu[name] += took_cpu - inner_cpu
            self.wall[name] += took_wall - inner_wall
            self.calls[name] += 1
            if self._inside:
                self._inside[-1][0] += took_cpu
                self._inside[-1][1] += took_wall

    def watch(self, name: str, target: str) -> None:
        """Time every call of `module:attribute` from now on."""
        owner, attribute = find(target)
        setattr(owner, attribute, self._timed(name, getattr(owner, attribute)))

    def _timed(self, name: str, function: Callable) -> Callable:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return function(*args, **kwargs)

        return timed

    def query(self, execute: Callable, sql: str, params: Any, many: bool, context: Any) -> Any:
        with self.stage("SQL"):
            return execute(sql, params, many, context)


def find(target: str) -> tuple[Any, str]:
    """Return the module or class that has what `module:attribute` names, and the attribute."""
    module, _colon, path = target.partition(":")
    *owners, attribute = path.split(".")
    return functools.reduce(getattr, owners, importlib.import_module(module)), attribute


def measure(folder: Path) -> None:
    """Print the table for the demo's model and a JPEG of 1280 x 960."""
    site = Site(folder)
    site.manage("migrate", "--verbosity", "0")
    site.manage("demo")
    token = site.manage("create_token", "demo").strip()
    subprocess.run(
        [sys.executable, "-m", "bench.request_profile", token],
        cwd=ROOT,
        env=site.environment,
        check=True,
    )


def profile(token: str) -> None:
    """Print the table of an installation that is set up in the environment."""
    from django.db import connection

    from classifr.wsgi import application

    bodies = never_twice(photo_like(), start=time.time_ns())
    for body in itertools.islice(bodies, 20):
        _ask(application, token, body)
    plain = _cpu_ms(application, token, bodies)
    clock = Clock()
    for name, target in STAGES.items():
        clock.watch(name, target)
    with connection.execute_wrapper(clock.query):
        for body in itertools.islice(bodies, REQUESTS):
            with clock.stage(REST):
                _ask(application, token, body)
    print("| where | ms of processor | ms in all | calls |\n|---|--:|--:|--:|")
    for name in sorted(clock.cpu, key=lambda name: -clock.cpu[name]):
        calls = clock.calls[name] / REQUESTS
        print(f"| {name} | {_ms(clock.cpu[name]):.2f} | {_ms(clock.wall[name]):.2f} | {calls:g} |")
    total = sum(clock.cpu.values())
    print(
        f"| **sum, while watched** | **{_ms(total):.2f}** | {_ms(sum(clock.wall.values())):.2f} | |"
    )
    print(f"\nNot watched, a request takes {plain:.2f} ms of processor time.")


def _cpu_ms(application: Callable, token: str, bodies: Iterator[bytes]) -> float:
    started = time.process_time()
    for body in itertools.islice(bodies, REQUESTS):
        _ask(application, token, body)
    return _ms(time.process_time() - started)


def _ms(seconds: float) -> float:
    return seconds * 1000 / REQUESTS


def _ask(application: Callable, token: str, body: bytes) -> None:
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": PATH,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "HTTP_AUTHORIZATION": f"Token {token}",
        "CONTENT_TYPE": "image/jpeg",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    told: list[str] = []
    answer = application(environ, lambda status, headers: told.append(status))
    text = b"".join(answer)
    answer.close()
    if not told[0].startswith("200"):
        raise RuntimeError(f"{PATH} answered {told[0]}: {text[:300]!r}")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")
    profile(sys.argv[1])

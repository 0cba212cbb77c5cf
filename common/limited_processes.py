"""Modules of ours that work in a process of their own, with limits: a crash takes nobody along.

    answer = ask("customvision.exported.trial", question, str(path), wait_seconds=120)

The module limits itself first, reads the question from its input and writes the answer as the last
line of its output:

    limit_this_process(memory_bytes=4 * 2**30, core_seconds=60, file_bytes=2**20)
    write_answer(work(read_question()))
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common import processes

ROOT = Path(__file__).resolve().parents[1]


class ProcessFailed(Exception):
    """The process gave no answer; the reason is "crashed" or "too_slow"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def ask(
    module: str, question: Mapping[str, Any], *arguments: str, wait_seconds: float
) -> dict[str, Any]:
    """Return the answer of a module to a question, both as JSON has them.

    Raises:
        ProcessFailed: it crashed, or took too long.
    """
    with tempfile.TemporaryDirectory(prefix="classifr-") as home:
        # Nothing of ours goes along: neither keys nor the database's password.
        environment = {
            "PATH": os.defpath,
            "HOME": home,
            "TMPDIR": home,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            processes.PARENT_VARIABLE: str(os.getpid()),
        }
        try:
            done = subprocess.run(  # noqa: S603 (a module of our own)
                [sys.executable, "-m", module, *arguments],
                input=json.dumps(question).encode(),
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=wait_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ProcessFailed("too_slow") from error
    return answer_of(done.returncode, done.stdout)


def answer_of(returncode: int, output: bytes) -> dict[str, Any]:
    """Return the answer in the output of a process that has ended. Raises ProcessFailed."""
    if returncode:
        # The kernel sends SIGXCPU at the limit, and SIGKILL a second later.
        is_slow = returncode in (-signal.SIGXCPU, -signal.SIGKILL)
        raise ProcessFailed("too_slow" if is_slow else "crashed")
    try:
        answer = json.loads(output.splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise ProcessFailed("crashed") from error
    if not isinstance(answer, dict):
        raise ProcessFailed("crashed")
    return answer


def limit_this_process(*, memory_bytes: int, core_seconds: int, file_bytes: int) -> None:
    """Limit what this process may use, and have it end with the one that started it."""
    processes.terminate_with_parent()
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (core_seconds, core_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))


def read_question() -> dict[str, Any]:
    question: dict[str, Any] = json.load(sys.stdin)
    return question


def write_answer(answer: Mapping[str, Any]) -> None:
    sys.stdout.write("\n" + json.dumps(answer) + "\n")

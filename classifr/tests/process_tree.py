"""`manage.py serve` as a real process tree, for tests that look at it from outside."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from django.conf import settings

from scripts.services import free_port

ROOT = Path(settings.BASE_DIR)


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of an embedded installation in this folder."""
    own = {"CLASSIFR_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "classifr.settings"}
    return {name: value for name, value in os.environ.items() if name != "DATABASE_URL"} | own


def manage(folder: Path, *arguments: str, **variables: str) -> str:
    """Run a command of that installation; return what it printed. Fails with its error output."""
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(folder) | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout


def processes_of(environment: dict[str, str]) -> dict[int, bytes]:
    """Return the processes of this environment and their command lines, as the kernel has them."""
    mark = f"CLASSIFR_DATA_DIR={environment['CLASSIFR_DATA_DIR']}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, variables = (
                (folder / "cmdline").read_bytes(),
                (folder / "environ").read_bytes(),
            )
        except OSError:
            continue
        if mark in variables.split(b"\0"):
            found[int(folder.name)] = command
    return found


class Tree:
    """A running installation; its database must have been migrated."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = environment(folder) | variables
        self.output = folder / "output"
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "serve", "--port", str(self.port)],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
            )

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as response:  # noqa: S310
                return response.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def children(self) -> dict[str, list[int]]:
        """The processes of this tree by what they are, from what the kernel says of them."""
        found: dict[str, list[int]] = {"web": [], "worker": []}
        for pid, command in processes_of(self.environment).items():
            for name, word in (("web", b"gunicorn"), ("worker", b"\0worker")):
                if word in command and pid != self.process.pid:
                    found[name].append(pid)
        return found

    def is_complete(self) -> bool:
        return all(self.children().values()) and "Classifr answers" in self.output.read_text()

    def is_gone(self) -> bool:
        return not any(self.children().values())

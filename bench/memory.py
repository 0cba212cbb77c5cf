"""What the bodies of others cost in memory: every door, every kind of body that is dear to read,
peak per byte sent.

A door is an address with a method, or an operation of the Custom Vision API. Each body is sent in a
process of its own, forked from one that has answered small ones before, so that what is measured is
this body alone. Pictures have a documented cost of their own (`python -m common.tests.dearest`) and
are left out here.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.installation import ROOT, Site

MOST = 5.0  # bytes of memory per byte of a body
ROOM_MEGABYTES = 6.0  # what any request may take, however short: a form of escapes is the dearest


@dataclass(frozen=True)
class Measured:
    """One body at one door: its megabytes, the megabytes that it took at most, and the answer's
    status.
    """

    door: str
    body: str
    sent: float
    took: float
    status: int

    @property
    def ratio(self) -> float:
        return max(0.0, self.took - ROOM_MEGABYTES) / self.sent


def measure(folder: Path, *, quick: bool = False, check: bool = False) -> None:
    """Print the dearest door for each kind of body. With `check` exit with 1 if one takes more than
    `MOST`.
    """
    site = Site(folder, DJANGO_SETTINGS_MODULE="classifr.tests.settings")
    site.environment.pop("DATABASE_URL", None)  # each process has a database of its own to spoil
    command = [sys.executable, "-m", "bench.memory_probe", *(["--quick"] if quick else [])]
    with (folder / "log").open("w") as log:  # a line for each refusal
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=site.environment,
            check=True,
            text=True,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    found = [Measured(**json.loads(line)) for line in done.stdout.splitlines()]
    print(f"{len(found)} bodies at {len({one.door for one in found})} doors\n")
    print("| body | MB sent | dearest door | status | MB taken | MB per MB |")
    print("|---|--:|---|--:|--:|--:|")
    for body in dict.fromkeys(one.body for one in found):
        print(row(max((one for one in found if one.body == body), key=lambda one: one.ratio)))
    if problems := too_dear(found):
        print("\nMore than is allowed:\n" + "\n".join(problems))
        if check:
            raise SystemExit(1)


def row(one: Measured) -> str:
    return (
        f"| {one.body} | {one.sent:.2f} | {one.door} | {one.status} | {one.took:.0f} | "
        f"{one.ratio:.1f} |"
    )


def too_dear(found: Sequence[Measured]) -> list[str]:
    """Return what is wrong: too much memory, an answer that is an error of ours, or none."""
    wrong = [one for one in found if one.ratio > MOST or one.status == 0 or one.status == 500]
    return [
        f"{one.door}, {one.body}: {one.took:.0f} MB of {one.sent:.2f}, {one.status}"
        for one in wrong
    ]


def peak_megabytes() -> float:
    """Return the most memory that this process has had since `forget_peak`."""
    return _status("VmHWM")


def megabytes() -> float:
    return _status("VmRSS")


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> float:
    lines = Path(f"/proc/{os.getpid()}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024

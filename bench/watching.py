"""What a server and all processes under it take: processor time and memory, out of Linux' /proc."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """A running process; `cpu_seconds` are user and system time, with those of its children that
    have ended.

    `started` is in clock ticks since the machine's start: with the number it tells a process from
    any other.
    """

    pid: int
    parent: int
    command: str
    cpu_seconds: float
    started: int


def tree(pid: int) -> list[Process]:
    """Return a process and all that it started, directly or not."""
    every = {process.pid: process for process in _all()}
    known = {pid} & set(every)
    while more := {one.pid for one in every.values() if one.parent in known} - known:
        known |= more
    return [every[one] for one in sorted(known)]


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process and all under it have taken since they started."""
    return sum(process.cpu_seconds for process in tree(pid))


def mebibytes(pid: int) -> float:
    """Return the proportional set size of a process: memory that it shares counts in parts. Zero
    once it is gone.
    """
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def is_same(process: Process) -> bool:
    """Tell whether this process still runs, and not another one that was given its number."""
    return any(one.pid == process.pid and one.started == process.started for one in _all())


def parsed_stat(text: str) -> tuple[int, float, int]:
    """Return parent, processor seconds and start in ticks out of a line of /proc/PID/stat; see
    proc(5).
    """
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return int(fields[1]), sum(map(int, fields[11:15])) / TICKS, int(fields[19])


def _all() -> Iterator[Process]:
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            parent, seconds, started = parsed_stat((folder / "stat").read_text())
            command = (
                (folder / "cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode(errors="replace")
                .strip()
            )
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield Process(int(folder.name), parent, command, seconds, started)

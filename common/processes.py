"""Child processes that never outlive their parent; the cores and the freed memory of a process."""

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

PARENT_VARIABLE = "CLASSIFR_PARENT_PID"
PR_SET_PDEATHSIG = 1
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
MEBIBYTE = 2**20
MAX_WEB_PROCESSES = 8
CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def child_environment() -> dict[str, str]:
    """Return the environment to start a child with that calls `terminate_with_parent`."""
    return {**os.environ, PARENT_VARIABLE: str(os.getpid())}


def terminate_with_parent() -> None:
    """Have this process get a SIGTERM when its parent is gone, even after a kill -9 of the parent.

    Does nothing in a process that was not started with `child_environment`.
    """
    parent = int(os.environ.get(PARENT_VARIABLE, "0"))
    if not parent:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it was gone before we asked
            os.kill(os.getpid(), signal.SIGTERM)
        return

    # Other systems tell nobody of a parent's end, so that somebody has to look.
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def exit_immediately(code: int = 0) -> NoReturn:
    """End the process at once, with other threads still at work.

    To them it is as a kill -9: a transaction is there or not, a file whole or not, and no
    descriptor is closed under their hands, whose number could be that of another file a moment
    later.
    """
    logging.shutdown()
    os._exit(code)


def retain_freed_memory() -> None:
    """Have malloc keep a few megabytes that are free, for the next picture.

    Left to itself it hands the memory of a decoded picture back, and the kernel has to clear every
    page of it again for the next request. Blocks above 4 MiB go back as before. Of glibc only,
    mallopt(3); does nothing elsewhere.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, 4 * MEBIBYTE)
        mallopt(M_TRIM_THRESHOLD, 16 * MEBIBYTE)


def usable_core_count() -> int:
    """Return how many cores this process may use; a container often has few of a machine's."""
    # Some are limited by the set of cores, others by their time: cgroup v2, `cpu.max`.
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = CPU_LIMIT.read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no such limit
        return cores


def web_process_count() -> int:
    """Return how many web processes there are: WEB_CONCURRENCY, or one per core up to a limit."""
    return int(os.environ.get("WEB_CONCURRENCY") or 0) or min(
        usable_core_count(), MAX_WEB_PROCESSES
    )

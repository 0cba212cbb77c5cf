"""Child processes that never outlive the one that started them, however that one ends."""

import ctypes
import os
import signal
import sys
import threading
import time

PARENT_VARIABLE = "CLASSIFR_PARENT_PID"
PR_SET_PDEATHSIG = 1


def environment_for_child() -> dict[str, str]:
    """Return the environment to start a child with that calls `end_with_parent`."""
    return {**os.environ, PARENT_VARIABLE: str(os.getpid())}


def end_with_parent() -> None:
    """Have this process get a SIGTERM when its parent is gone, even after a kill -9 of the parent.

    Does nothing in a process that was not started with `environment_for_child`.
    """
    parent = int(os.environ.get(PARENT_VARIABLE, "0"))
    if not parent:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it was gone before we asked
            os.kill(os.getpid(), signal.SIGTERM)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)

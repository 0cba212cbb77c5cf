"""The folder in which the processes of a machine leave their counters for each other."""

import os
import re
from pathlib import Path

OF_PROCESS = re.compile(r"\w+_(\d+)\.db")


def forget_ended_processes() -> None:
    """Delete what processes left behind that have ended: a web server that starts counts anew."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    for path in Path(folder).glob("*.db") if folder else ():
        match = OF_PROCESS.fullmatch(path.name)
        if match and not Path("/proc", match[1]).exists():
            path.unlink(missing_ok=True)

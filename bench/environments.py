"""Virtual environments of the benchmark's own, under `.bench/`: what is measured beside Classifr is
no part of it.

Each is made from a pinned file of requirements at its first use. TensorFlow, Keras, LiteRT, numpy
and Pillow come from the project's own environment, which a path file puts behind the environment's
packages: all servers use the same ones.
"""

import hashlib
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from bench.installation import ROOT

FOLDER = ROOT / ".bench"


class NotInstalled(Exception):
    """An environment cannot be made here; the message says why."""


def python(requirements: Path) -> str:
    """Return the interpreter of the environment that a file of requirements describes.

    Raises:
        NotInstalled: pip cannot install it here.
    """
    folder = FOLDER / requirements.stem
    interpreter = folder / "bin" / "python"
    mark = folder / "installed"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == wanted:
        return str(interpreter)
    print(
        f"Installing {', '.join(requirements.read_text().split())} into "
        f"{folder.relative_to(ROOT)}.",
        flush=True,
    )
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*install, "-r", requirements], text=True, stderr=subprocess.PIPE)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NotInstalled(errors[-1] if errors else done.stderr.strip()[-300:])
    mark.write_text(wanted)
    return str(interpreter)

"""What the dearest pictures that the door accepts cost, beside a plain one of the same size."""

import json
import subprocess
import sys
from pathlib import Path

from bench.installation import ROOT

PLAIN = "JPEG, plain"
MAX_CPU_RATIO = 20.0
MAX_MEMORY_RATIO = 6.0


def measure(folder: Path, *, check: bool = False) -> None:
    """Print CPU time and peak memory of each picture, as multiples of those of a plain one of 50
    megapixels. With `check` exit with 1 where one is beyond its limit.
    """
    command = [sys.executable, "-m", "common.tests.dearest"]
    done = subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE)
    costs = {one["name"]: one for one in map(json.loads, done.stdout.splitlines())}
    plain = costs[PLAIN]
    print("| picture | bytes | megapixels x scans | CPU | memory |")
    print("|---|--:|--:|--:|--:|")
    too_dear = []
    for name, one in costs.items():
        cpu = one["cpu_seconds"] / plain["cpu_seconds"]
        memory = one["megabytes"] / plain["megabytes"]
        print(f"| {name} | {one['bytes']} | {one['megapixels']} | {cpu:.1f} | {memory:.1f} |")
        if cpu > MAX_CPU_RATIO or memory > MAX_MEMORY_RATIO:
            too_dear.append(name)
    print(f"\nLimits: {MAX_CPU_RATIO:.0f} and {MAX_MEMORY_RATIO:.0f} times the plain picture.")
    if check and too_dear:
        raise SystemExit(f"Too dear: {', '.join(too_dear)}.")

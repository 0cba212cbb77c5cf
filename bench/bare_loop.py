"""The bare loop: JPEG bytes, Pillow, LiteRT, and nothing else. One process for each core, plain
functions.

This is what the cores can do at most with these parts: no network, no log-in, no database, no disk,
and no client.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.installation import ROOT
from bench.peers import answering


@dataclass(frozen=True)
class Bare:
    """What all processes did together: pictures per second, and processor milliseconds for one."""

    per_second: float
    cpu_ms: float


def run(model: Path, jpeg: Path, *, draft: bool, seconds: float) -> Bare:
    """Run the loop on every core at once. With `draft`, a JPEG is decoded at a fraction of its
    size.
    """
    command = [
        sys.executable,
        "-m",
        "bench.bare_loop",
        str(model),
        str(jpeg),
        str(int(draft)),
        str(seconds),
    ]
    loops = [
        subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _core in range(answering.CORES)
    ]
    for loop in loops:
        assert loop.stdout and loop.stdout.readline() == "ready\n"
    for loop in loops:
        assert loop.stdin
        loop.stdin.write("go\n")
        loop.stdin.flush()
    found = [json.loads(loop.communicate()[0]) for loop in loops]
    pictures = sum(one["pictures"] for one in found)
    return Bare(
        sum(one["pictures"] / one["seconds"] for one in found),
        sum(one["cpu"] for one in found) / pictures * 1e3,
    )


def _loop(
    model: answering.CompiledModel, jpeg: bytes, *, draft: bool, seconds: float
) -> dict[str, float]:
    started, cpu, pictures = time.perf_counter(), time.process_time(), 0
    while (elapsed := time.perf_counter() - started) < seconds:
        model.predict(answering.pixels(jpeg, model.size, draft=draft)[None])
        pictures += 1
    return {"pictures": pictures, "seconds": elapsed, "cpu": time.process_time() - cpu}


def main() -> None:
    path, picture, draft, seconds = sys.argv[1:]
    model, jpeg = answering.CompiledModel(path), Path(picture).read_bytes()
    _loop(model, jpeg, draft=bool(int(draft)), seconds=0.2)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(_loop(model, jpeg, draft=bool(int(draft)), seconds=float(seconds))))


if __name__ == "__main__":
    main()

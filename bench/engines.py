"""Which engine answers best: speed, memory, and what int8 costs in accuracy, on real photos.

    CLASSIFR_WEIGHTS_DIR=WEIGHTS BENCH_PHOTOS=FOLDER python -m bench.run engines

FOLDER holds a folder of pictures per category. Processor time is what counts, so a busy machine
does no harm.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from bench import environments
from bench.engine_probe import ENGINES
from bench.environments import NotInstalled
from bench.installation import ROOT, Site

REQUIREMENTS = ROOT / "bench" / "engines.txt"
CONVERSIONS = {"OpenVINO": "openvino-convert", "ONNX Runtime": "onnx-convert"}


def measure(folder: Path, *, quick: bool = False) -> None:
    """Print a table for every backbone at hand."""
    photos = os.environ.get("BENCH_PHOTOS")
    if not photos:
        print(
            "Not measured: name a folder that holds a folder of photos per category in "
            "BENCH_PHOTOS."
        )
        return
    site = Site(folder / "site")
    command = [sys.executable, "-m", "bench.engine_models", photos, str(folder / "models")]
    subprocess.run(command, cwd=ROOT, env=site.environment, check=True)
    for model in sorted((folder / "models").iterdir()):
        _table(model)


def _table(model: Path) -> None:
    facts = json.loads((model / "facts.json").read_text())
    labels, keras = np.load(model / "labels.npy"), np.load(model / "keras.npy")
    print(
        f"\n### {model.name}, {facts['size']} px: {len(labels)} photos of {facts['categories']} "
        f"categories\n"
    )
    print(f"Keras: {(keras.argmax(1) == labels).mean():.3f} of the first choices are right.\n")
    print(
        "| engine | CPU ms | pictures/s | load, CPU s | MiB | right | as Keras | greatest "
        "difference |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    not_there = _converted(model)
    for name in ENGINES:
        reason = next((why for engine, why in not_there.items() if name.startswith(engine)), "")
        print(
            f"| {name} | not measured: {reason} | | | | | | |" if reason else _row(name, model),
            flush=True,
        )


def _converted(model: Path) -> dict[str, str]:
    """Write the other engines' forms of a model; return why some engine has none."""
    failed = {}
    for engine, what in CONVERSIONS.items():
        try:
            _probe(what, model)
        except NotInstalled as error:
            failed[engine] = str(error)
        except subprocess.CalledProcessError as error:
            failed[engine] = (error.stderr or "").strip().splitlines()[-1][:200]
    return failed


def _row(name: str, model: Path) -> str:
    answers = model / "answers.npy"
    try:
        facts = json.loads(_probe(name, model, str(answers)).splitlines()[-1])
    except subprocess.CalledProcessError as error:
        return (
            f"| {name} | not measured: {(error.stderr or '').strip().splitlines()[-1][:200]} | "
            f"| | | | | |"
        )
    return row(
        name, facts, np.load(answers), np.load(model / "keras.npy"), np.load(model / "labels.npy")
    )


def row(
    name: str, facts: dict[str, float], found: np.ndarray, keras: np.ndarray, labels: np.ndarray
) -> str:
    """Return a line of the table.

    Args:
        facts: what `engine_probe.probe` measured.
        found: the engine's probabilities, shape (N, K).
        keras: those of Keras, the same shape.
        labels: the true categories, shape (N,).
    """
    first = found.argmax(1)
    cells = [
        f"{facts['cpu_ms']:.2f}",
        f"{len(os.sched_getaffinity(0)) * 1000 / facts['cpu_ms']:.0f}",
        f"{facts['ready_cpu']:.2f}",
        f"{facts['mebibytes']:.0f}",
        f"{(first == labels).mean():.3f}",
        f"{(first == keras.argmax(1)).mean():.3f}",
        f"{np.abs(found - keras).max():.1e}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def _probe(*words: str | Path) -> str:
    python = (
        sys.executable if str(words[0]).startswith("LiteRT") else environments.python(REQUIREMENTS)
    )
    command = [python, "-m", "bench.engine_probe", *map(str, words)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, text=True, capture_output=True
    )
    return done.stdout

"""Tries a model in a process of its own, with limits on memory and time.

What is wrong with it takes nobody else along.

    trial.try_model(...)                       in a worker or a command
    python -m customvision.exported.trial      the process: a question as JSON in, an answer out
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common import limited_processes
from common.limited_processes import ProcessFailed
from customvision.exported.refusals import Refused

SECONDS = 60  # of a core
WAIT_SECONDS = 120
MEMORY_BYTES = 4 * 2**30  # of addresses, which the engines take more of than of memory
SIZES = ((320, 240), (75, 200), (64, 64))  # of the pictures that it is asked about
SUM_TOLERANCE = 1e-3
MOST_DETAIL = 300


@dataclass(frozen=True)
class Found:
    """What the trial found out: what pictures have to look like, and what the outputs are."""

    preprocessing: dict[str, Any]  # see `pixels.Preprocessing.as_facts`
    activation: str  # "softmax" or "sigmoid"


def try_model(
    kind: str,
    model: bytes,
    labels: Sequence[str],
    properties: Mapping[str, str],
    *,
    is_own: bool = False,
) -> Found:
    """Check a model's operators, load it, and ask it about pictures, in another process.

    Args:
        kind: of `engines`.
        properties: what the archive says of the preparation of pictures.
        is_own: it is an export of Classifr.

    Raises:
        Refused: it is not taken; the code says why.
    """
    question = {
        "kind": kind,
        "labels": list(labels),
        "properties": dict(properties),
        "is_own": is_own,
    }
    with tempfile.TemporaryDirectory(prefix="classifr-trial-") as folder:
        path = Path(folder) / "model"
        path.write_bytes(model)
        try:
            answer = limited_processes.ask(
                "customvision.exported.trial", question, str(path), wait_seconds=WAIT_SECONDS
            )
        except ProcessFailed as error:
            raise Refused(error.reason) from error
    if "refused" in answer:
        raise Refused(str(answer["refused"]), str(answer.get("detail", ""))[:MOST_DETAIL])
    try:
        return Found(answer["preprocessing"], answer["activation"])
    except KeyError as error:
        raise Refused("crashed") from error


def examine(path: Path, question: Mapping[str, Any]) -> dict[str, Any]:
    """Do the trial itself. Raises Refused, or whatever the engines do."""
    import numpy as np
    from PIL import Image

    from customvision.exported import engines, operators, pixels

    kind, labels, properties = question["kind"], question["labels"], question["properties"]
    data = path.read_bytes()
    if kind == engines.ONNX:
        properties = operators.check_onnx(data) | properties
    else:
        operators.check_tflite(data)
    try:
        engine = engines.load_engine(kind, path, labels, threads=1)
    except (RuntimeError, ValueError) as error:
        raise Refused("engine", " ".join(str(error).split())[:MOST_DETAIL]) from error
    definition = pixels.read_preprocessing(
        properties,
        width=engine.width,
        height=engine.height,
        is_onnx=kind == engines.ONNX,
        is_own=question["is_own"],
    )
    if engine.is_uint8:
        definition = replace(definition, divisor=1.0)
    generator = np.random.default_rng(0)
    answers = []
    for width, height in SIZES:
        noise = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        try:
            answers.append(engine.run(definition.prepare(Image.fromarray(noise))))
        except (RuntimeError, ValueError) as error:
            raise Refused("engine", " ".join(str(error).split())[:MOST_DETAIL]) from error
    if any(answer.shape != (len(labels),) for answer in answers):
        raise Refused("output", f"{answers[0].shape}")
    rows = np.stack(answers).astype(np.float64)
    if not (np.isfinite(rows).all() and rows.min() >= -1e-6 and rows.max() <= 1 + 1e-3):
        raise Refused("no_probabilities")
    sums_to_one = bool(np.abs(rows.sum(axis=1) - 1).max() < SUM_TOLERANCE)
    said = pixels.activation_of(properties)
    return {
        "preprocessing": definition.as_facts(),
        "activation": said or ("softmax" if sums_to_one else "sigmoid"),
    }


def main() -> None:
    """Read a question, examine the model that the first argument names, and write the answer."""
    limited_processes.limit_this_process(
        memory_bytes=MEMORY_BYTES, core_seconds=SECONDS, file_bytes=2**20
    )
    question = limited_processes.read_question()
    try:
        answer = examine(Path(sys.argv[1]), question)
    except Refused as error:
        answer = {"refused": error.code, "detail": error.detail}
    except MemoryError:
        answer = {"refused": "too_large"}
    limited_processes.write_answer(answer)


if __name__ == "__main__":
    main()

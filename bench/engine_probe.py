"""One engine on one model, in a process of its own: `python -m bench.engine_probe ENGINE FOLDER
ANSWERS.npy`.

Prints what it took, as JSON. `openvino-convert` and `onnx-convert` only write the files that the
others read.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.watching import mebibytes

Run = Callable[[np.ndarray], np.ndarray]


def litert(path: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    (given,), (asked,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.allocate_tensors()

    def run(pixels: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(given["index"], pixels)
        interpreter.invoke()
        return interpreter.get_tensor(asked["index"])

    return run


def openvino(path: Path, *, precision: str = "f32") -> Run:
    import openvino

    options = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    if precision:
        options["INFERENCE_PRECISION_HINT"] = precision
    compiled = openvino.Core().compile_model(path, "CPU", options)
    request = compiled.create_infer_request()
    return lambda pixels: request.infer({0: pixels})[compiled.output(0)]


def onnx(path: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda pixels: session.run(None, {given.name: pixels})[0]


ENGINES: dict[str, Callable[[Path], Run]] = {
    "LiteRT float32": lambda folder: litert(folder / "float.tflite"),
    "LiteRT int8": lambda folder: litert(folder / "int8.tflite"),
    "OpenVINO float32": lambda folder: openvino(folder / "float.xml"),
    "OpenVINO default precision": lambda folder: openvino(folder / "float.xml", precision=""),
    "OpenVINO int8": lambda folder: openvino(folder / "int8.xml"),
    "ONNX Runtime float32": lambda folder: onnx(folder / "model.onnx"),
}


def convert_for_openvino(folder: Path) -> None:
    """Write `float.xml` and, by post-training quantisation with NNCF, `int8.xml`.

    Source:
    https://docs.openvino.ai/2025/openvino-workflow/model-optimization-guide/quantizing-models-post-training.html
    """
    import nncf
    import openvino

    model = openvino.convert_model(folder / "saved")
    size = json.loads((folder / "facts.json").read_text())["size"]
    model.reshape([1, size, size, 3])
    openvino.save_model(model, folder / "float.xml", compress_to_fp16=False)
    pictures = list(np.load(folder / "calibrate.npy"))
    quantised = nncf.quantize(
        model, nncf.Dataset(pictures, lambda pixels: pixels[None]), subset_size=len(pictures)
    )
    openvino.save_model(quantised, folder / "int8.xml")


def convert_for_onnx(folder: Path) -> None:
    """Write `model.onnx` by tf2onnx."""
    from tf2onnx import convert

    sys.argv = [
        "convert",
        "--saved-model",
        str(folder / "saved"),
        "--output",
        str(folder / "model.onnx"),
    ]
    convert.main()


def probe(name: str, folder: Path, answers: Path) -> dict[str, float]:
    """Answer every picture, one at a time, in one thread; return processor milliseconds, seconds
    and MiB.
    """
    asked = np.load(folder / "ask.npy")
    before = mebibytes_of_self()
    started = time.process_time()
    run = ENGINES[name](folder)
    run(asked[:1])
    ready_cpu = time.process_time() - started
    found = []
    started, cpu = time.perf_counter(), time.process_time()
    for picture in asked:
        found.append(np.array(run(picture[None])[0]))
    cpu, elapsed = time.process_time() - cpu, time.perf_counter() - started
    np.save(answers, np.stack(found))
    return {
        "cpu_ms": cpu / len(asked) * 1000,
        "per_second": len(asked) / elapsed,
        "ready_cpu": ready_cpu,
        "mebibytes": mebibytes_of_self() - before,
    }


def mebibytes_of_self() -> float:
    return mebibytes(int(Path("/proc/self").resolve().name))


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[2])
    if what == "openvino-convert":
        convert_for_openvino(where)
    elif what == "onnx-convert":
        convert_for_onnx(where)
    else:
        print(json.dumps(probe(what, where, Path(sys.argv[3]))))

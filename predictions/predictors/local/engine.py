"""Running a compiled model: pixels in, named arrays out.

The only module that knows which runtime does it (LiteRT). Another one, such as OpenVINO or ONNX
Runtime, would stand in by offering the same `LiteRtEngine`.
"""

import threading
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from django.conf import settings

BATCH_LIMIT = 32  # larger batches gain no speed and cost memory

# Those in memory by the SHA-256 of their file, for as long as a model keeps them
_shared: "WeakValueDictionary[str, LiteRtEngine]" = WeakValueDictionary()


def shared_engine(path: Path, sha256: str) -> "LiteRtEngine":
    """Return the engine of a file: the same for every model that holds a copy of it.

    Models on the same backbone differ by their heads alone, so one more costs no memory.
    """
    if (engine := _shared.get(sha256)) is None:
        engine = _shared[sha256] = LiteRtEngine(path)
    return engine


class LiteRtEngine:
    """A compiled model, ready to run; thread-safe.

    An interpreter can do one thing at a time, so callers wait for their turn. It has the cores of
    its process to itself (`ENGINE_THREADS`): a second one would hold the weights once more and
    drive the first out of the caches.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        """Load the model. Raises ValueError if the file is no model of ours."""
        self.path = path
        self.threads = threads or settings.ENGINE_THREADS
        self._interpreter = Interpreter(str(path), num_threads=self.threads)
        signature = self._interpreter.get_signature_runner()
        (pixels,) = signature.get_input_details().values()
        if pixels["dtype"] is not np.uint8 or len(pixels["shape_signature"]) != 4:
            raise ValueError(f"{path.name} does not take uint8 pictures.")
        self._input: int = pixels["index"]
        self.input_size = int(pixels["shape_signature"][1])
        details = signature.get_output_details()
        self._indexes = {name: int(detail["index"]) for name, detail in details.items()}
        self._widths = {
            name: int(detail["shape_signature"][-1]) for name, detail in details.items()
        }
        self.outputs = tuple(details)
        self._batch = 0
        self._turn = threading.Lock()

    def run(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Return every output for a batch of pictures.

        Args:
            pixels: uint8, shape (N, size, size, 3); N may be zero.

        Returns:
            Output name to a float32 array of shape (N, width of the output).
        """
        results = {
            name: np.empty((len(pixels), width), np.float32) for name, width in self._widths.items()
        }
        for start in range(0, len(pixels), BATCH_LIMIT):
            part = pixels[start : start + BATCH_LIMIT]
            # For a part only, so that a single picture waits for no long batch.
            with self._turn:
                # Resizing is dear, and most batches are as large as the one before.
                if len(part) != self._batch:
                    self._batch = 0  # should what follows fail, the next call tries it again
                    shape = (len(part), self.input_size, self.input_size, 3)
                    self._interpreter.resize_tensor_input(self._input, shape)
                    self._interpreter.allocate_tensors()
                    self._batch = len(part)
                self._interpreter.set_tensor(self._input, part)
                self._interpreter.invoke()
                for name, index in self._indexes.items():
                    results[name][start : start + len(part)] = self._interpreter.get_tensor(index)
        return results

"""What every peer does with a picture: the same decoding, the same model. Only the server around it
differs.

The environment says which: PEER_MODEL (a `.keras` file, or a `.tflite` one for the second round),
PEER_PORT.
"""

import io
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

PORT = int(os.environ.get("PEER_PORT", "0"))
MODEL = os.environ.get("PEER_MODEL", "")
CORES = len(os.sched_getaffinity(0))


def pixels(jpeg: bytes | Image.Image, size: int, *, draft: bool = False) -> np.ndarray:
    """Return the centred square of a picture, uint8, shape (size, size, 3).

    With `draft` the JPEG is decoded at a fraction of its size, twice `size` or more.
    """
    image = Image.open(io.BytesIO(jpeg)) if isinstance(jpeg, bytes) else jpeg
    if draft:
        image.draft("RGB", (2 * size, 2 * size))
    image = image.convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(
        image.crop((left, top, left + side, top + side)).resize(
            (size, size), Image.Resampling.BILINEAR
        )
    )


class KerasModel:
    """`model.predict`, as tutorials call it; or `predict_on_batch`, which costs less for a single
    batch.
    """

    draft = False

    def __init__(self, path: str) -> None:
        import keras

        self._model = keras.models.load_model(path)
        self.size = int(self._model.input_shape[1])

    def predict(self, batch: np.ndarray) -> np.ndarray:
        return self._model.predict(batch, verbose=0)["probabilities"]

    def predict_on_batch(self, batch: np.ndarray) -> np.ndarray:
        return np.asarray(self._model.predict_on_batch(batch)["probabilities"])


class CompiledModel:
    """The LiteRT file of the same model, one thread; callers wait for each other.

    A file that ends with feature vectors has its head beside it, which is applied in NumPy.
    """

    draft = True

    def __init__(self, path: str) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(path, num_threads=1)
        self._lock = threading.Lock()
        self._run = self._interpreter.get_signature_runner()
        (self._name,) = self._run.get_input_details()
        self.size = int(self._run.get_input_details()[self._name]["shape_signature"][1])
        self._head = None
        if "probabilities" not in self._run.get_output_details():
            self._head = dict(np.load(Path(path).with_name("head.npz")))

    def predict(self, batch: np.ndarray) -> np.ndarray:
        with self._lock:
            outputs = self._run(**{self._name: batch})
        if self._head is None:
            return outputs["probabilities"]
        logits = outputs["features"] @ self._head["kernel"] + self._head["bias"]
        logits = np.exp((logits - logits.max(axis=1, keepdims=True)) / self._head["temperature"])
        return logits / logits.sum(axis=1, keepdims=True)

    predict_on_batch = predict


def load() -> KerasModel | CompiledModel:
    """Return the model that the environment names, after a first answer: what is built at first use
    is there.
    """
    model = KerasModel(MODEL) if MODEL.endswith(".keras") else CompiledModel(MODEL)
    model.predict_on_batch(np.zeros((1, model.size, model.size, 3), np.uint8))
    return model


def scores(
    model: KerasModel | CompiledModel, jpegs: Sequence[bytes | Image.Image]
) -> list[list[float]]:
    """Return the probabilities of several pictures, as one batch."""
    return model.predict_on_batch(
        np.stack([pixels(jpeg, model.size, draft=model.draft) for jpeg in jpegs])
    ).tolist()

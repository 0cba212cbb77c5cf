"""From a backbone and a head to files that can be served: the Keras model and its compiled export.

Everything here that touches Keras imports it inside the function: a process that does not train
must not pay for it.
"""

import io
import json
import tempfile
import zipfile
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from predictions.predictors.local import verified_files
from predictions.predictors.local.heads import SOFTMAX, Head
from training.backbones import quantization
from training.backbones.base import Backbone
from training.backbones.keras_session import reset_keras_session

if TYPE_CHECKING:
    import keras

LIBRARIES = ("keras", "tensorflow", "tensorflow-cpu", "ai-edge-litert", "numpy", "scipy", "pillow")
NO_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a ZIP archive can hold


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that make a model what it is."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            # `tensorflow` and `tensorflow-cpu` are alternatives
            continue
    return versions


def build_serving_model(
    backbone: "keras.Model", head: Head | None, input_size: int
) -> "keras.Model":
    """Return the model that is served: uint8 pixels to `features` and, by a head, probabilities."""
    from keras import layers

    pixels = layers.Input((input_size, input_size, 3), dtype="uint8", name="pixels")
    # A scaling by one only casts: pixels come as uint8, and the backbone scales floats itself
    features = backbone(layers.Rescaling(1.0, name="as_numbers")(pixels))
    return _with_head(pixels, features, head)


def build_int8_model(backbone: "keras.Model", head: Head, *, scaled: bool) -> "keras.Model":
    """Return a model in float32 that computes as a backbone in int8 does, and its head.

    Args:
        scaled: it takes the floats that `quantization.to_litert` expects; else uint8 pixels.
    """
    from keras import layers

    shape = backbone.input_shape[1:]
    if scaled:
        pixels = values = layers.Input(shape, name="pixels")
    else:
        pixels = layers.Input(shape, dtype="uint8", name="pixels")
        values = layers.Rescaling(1 / 128, -127 / 128, name="scaled")(pixels)
    return _with_head(pixels, quantization.with_ranges(backbone, plain=not scaled)(values), head)


def _with_head(pixels: Any, features: Any, head: Head | None) -> "keras.Model":
    import keras
    from keras import layers

    outputs = {"features": features}
    if head is not None:
        logits = layers.Dense(len(head.bias), name="head")(features)
        calibrated = layers.Rescaling(1 / head.temperature, name="temperature")(logits)
        activation = (
            layers.Softmax if head.activation == SOFTMAX else partial(layers.Activation, "sigmoid")
        )
        outputs["probabilities"] = activation(name="probabilities")(calibrated)
    model = keras.Model(pixels, outputs, name="classifr")
    if head is not None:
        model.get_layer("head").set_weights([head.kernel, head.bias])
    model.trainable = False
    return model


def export_litert(model: "keras.Model") -> bytes:
    """Return the LiteRT export of a model, with a free batch size."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        model.export(path, format="litert", verbose=False)
        return path.read_bytes()


def save_reproducibly(model: "keras.Model") -> bytes:
    """Return the model as a `.keras` file that is the same, byte for byte, for the same model.

    Keras writes the time of saving and memory addresses into it; both are replaced.
    """
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(buffer, "w") as target:
            for name in sorted(source.namelist()):
                data = source.read(name)
                if name == "metadata.json":
                    facts = json.loads(data) | {"date_saved": "1980-01-01@00:00:00"}
                    data = json.dumps(facts).encode()
                elif name == "config.json":
                    data = json.dumps(_renumbered(json.loads(data), {})).encode()
                entry = zipfile.ZipInfo(name, NO_TIME)
                entry.external_attr = 0o600 << 16  # without it, the file has no permissions at all
                target.writestr(entry, data)
    return buffer.getvalue()


def export_backbone(backbone: Backbone) -> Path:
    """Return a local file with the export of a backbone alone; made once per machine and digest."""
    if backbone.served:
        return backbone.served
    path = verified_files.cache_directory("backbones") / f"{backbone.digest}.tflite"
    if not path.exists():
        reset_keras_session()
        # In one step: another worker may compile the same backbone meanwhile
        verified_files.write_atomically(
            path, export_litert(build_serving_model(backbone.build(), None, backbone.input_size))
        )
    return path


def weights_bytes(network: "keras.Model") -> bytes:
    """Return all weights of a network in order, for a digest."""
    return b"".join(np.ascontiguousarray(array).tobytes() for array in network.get_weights())


def _renumbered(part: Any, numbers: dict[int, int]) -> Any:
    """Replace every shared object's id, a memory address, by its number in order of appearance."""
    if isinstance(part, list):
        return [_renumbered(item, numbers) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        # The same object keeps the same number wherever it appears
        key: numbers.setdefault(value, len(numbers) + 1)
        if key == "shared_object_id"
        else _renumbered(value, numbers)
        for key, value in part.items()
    }

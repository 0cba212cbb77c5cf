"""A real compiled model of a few kilobytes, which knows three colours and needs no TensorFlow."""

import io
from pathlib import Path

import numpy as np

from predictions.predictors.base import ModelRef
from predictions.predictors.local import bundles, preprocessing
from predictions.predictors.local.ood_detector import OutOfDistributionDetector

FILE = Path(__file__).with_name("tiny_model.tflite")
CLASS_NAMES = ("red", "green", "blue")
INPUT_SIZE = 16
BACKBONE_DIGEST = "c0105" + "0" * 27
KERNEL = 12 * np.eye(3, dtype=np.float32)


def compile_tiny_model() -> bytes:
    """Make the file anew: mean colour as feature vector, strongest channel; needs TensorFlow."""
    import tempfile

    import keras
    from keras import layers

    keras.utils.clear_session()
    pixels = layers.Input((INPUT_SIZE, INPUT_SIZE, 3), dtype="uint8", name="pixels")
    features = layers.GlobalAveragePooling2D(name="features")(
        layers.Rescaling(1 / 255, name="as_numbers")(pixels)
    )
    logits = layers.Dense(3, name="head")(features)
    probabilities = layers.Softmax(name="probabilities")(logits)
    model = keras.Model(
        pixels, {"features": features, "probabilities": probabilities}, name="classifr"
    )
    model.get_layer("head").set_weights([KERNEL, np.zeros(3, np.float32)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        model.export(path, format="litert", verbose=False)
        return path.read_bytes()


def write_tiny_bundle(
    project: str = "colours",
    *,
    class_names: tuple[str, ...] = CLASS_NAMES,
    compiled: bytes | None = None,
    head: bytes | None = None,
    scope: OutOfDistributionDetector | None = None,
    **manifest: object,
) -> ModelRef:
    """Keep the tiny model as a bundle in STORAGES["models"]; return how to ask for it."""
    own_head = io.BytesIO()
    np.savez(own_head, kernel=KERNEL, bias=np.zeros(3, np.float32), temperature=np.float64(1.0))
    facts = {
        "class_names": list(class_names),
        "input_size": INPUT_SIZE,
        "preprocessing": {"name": preprocessing.NAME, "digest": preprocessing.DIGEST},
        "temperature": 1.0,
        "backbone": {"name": "tiny", "digest": BACKBONE_DIGEST, "frozen": True, "features": 3},
    }
    files = {
        bundles.COMPILED_MODEL: FILE.read_bytes() if compiled is None else compiled,
        bundles.HEAD: own_head.getvalue() if head is None else head,
    }
    if scope:
        files[bundles.SCOPE] = scope.to_bytes()
    reference, digest = bundles.write_bundle(project, files, facts | manifest)
    return ModelRef(reference=reference, class_names=class_names, digest=digest)

"""The models that the engines are compared on: backbones with a head that learned, as Keras, LiteRT
and SavedModel.

    python -m bench.engine_models PHOTOS FOLDER

PHOTOS holds a folder of pictures per category. A head learns from `LEARN` per category and is asked
about the others; the first `CALIBRATE` of the learned ones tell a quantiser what numbers to expect.
Written are, for each backbone: `float.tflite`, `int8.tflite`, `saved/`, `model.onnx` where tf2onnx
is there, and what to ask: `ask.npy`, `labels.npy`, `keras.npy` (what Keras says), `calibrate.npy`.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from training.studies.learning_curves import LabelledPictures

LEARN = 30
CALIBRATE = 100
MOST = 700  # pictures that are asked about


def main() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")
    django.setup()
    from training.backbones import imagenet
    from training.studies import learning_curves

    photos, folder = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory() as kept:
        collection = learning_curves.collect_pictures(photos, Path(kept))
        for name in ["lite0", *imagenet.available_offline()]:
            _write(name, collection, folder / name)


def _write(name: str, collection: "LabelledPictures", folder: Path) -> None:
    from predictions.predictors.local import preprocessing
    from training import backbones
    from training.backbones.keras_session import import_keras_quietly, reset_keras_session
    from training.studies import learning_curves
    from training.trainers.local import export

    import_keras_quietly()
    import keras

    folder.mkdir(parents=True)
    backbone = backbones.load(name)
    reset_keras_session()
    network = backbone.build()
    drawn = learning_curves.draw_sample(collection.labels, LEARN, 0)
    rng = np.random.default_rng(0)
    ask = np.sort(rng.permutation(drawn.ask)[:MOST])

    def pixels(rows: np.ndarray) -> np.ndarray:
        reads = (collection.read(collection.samples[row]) for row in rows)
        return np.stack([preprocessing.read_pixels(read(), backbone.input_size) for read in reads])

    learned = pixels(drawn.learn)
    vectors = np.zeros((len(collection.labels), backbone.features), np.float32)
    vectors[drawn.learn] = network.predict(learned.astype(np.float32), batch_size=32, verbose=0)
    head = learning_curves.fit_draw_head(vectors, collection.labels, drawn, len(collection.names))
    whole = export.build_serving_model(network, head, backbone.input_size)
    model = keras.Model(whole.input, whole.output["probabilities"])
    asked = pixels(ask)
    calibrate = learned[rng.permutation(len(learned))[:CALIBRATE]]
    np.save(folder / "ask.npy", asked)
    np.save(folder / "labels.npy", collection.labels[ask])
    np.save(folder / "keras.npy", model.predict(asked, batch_size=32, verbose=0))
    np.save(folder / "calibrate.npy", calibrate)
    (folder / "float.tflite").write_bytes(export.export_litert(model))
    model.export(folder / "saved", format="tf_saved_model", verbose=False)
    (folder / "int8.tflite").write_bytes(_quantised(folder / "saved", calibrate))
    (folder / "facts.json").write_text(
        json.dumps({"size": backbone.input_size, "categories": len(collection.names)})
    )


def _quantised(saved: Path, calibrate: np.ndarray) -> bytes:
    """Return the model with int8 weights and activations, by TensorFlow Lite's post-training
    quantisation.

    Source:
    https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_integer_quant
    """
    import tensorflow as tf

    def representative() -> Iterator[list[np.ndarray]]:
        for picture in calibrate:
            yield [picture[None]]

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    return converter.convert()


if __name__ == "__main__":
    main()

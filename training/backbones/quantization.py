"""A network in int8: weights and activations of one byte, for a fraction of the CPU and memory.

    convert(tensors, input_size)                from anywhere; takes some seconds, once
    python -m training.backbones.quantization   the process, which alone loads TensorFlow

No picture is needed to find the range of an activation: a normalisation's own numbers say how its
output is distributed, mean `beta` and deviation `gamma`, and of a sum both add up. Six deviations
are kept, and what ReLU6 cuts off is not. So a conversion depends on nothing but the weights.

Pooled averages and what follows stay float32. Pixels come in as they are: the network's scaling,
(x - 127) / 128, is the very meaning of the input's uint8 numbers.

Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
arXiv:1906.04721, section 5.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.utils.translation import gettext as _

from common import limited_processes
from common.limited_processes import ProcessFailed
from training.errors import TrainingFailed

if TYPE_CHECKING:
    import keras

DEVIATIONS = 6
SECONDS = 400  # of cores; TensorFlow alone takes some of them to load
WAIT_SECONDS = 500
MEMORY_BYTES = 12 * 2**30  # of addresses, which TensorFlow takes more of than of memory
FILE_BYTES = 100_000_000


def convert(tensors: Path, input_size: int) -> tuple[bytes, bytes]:
    """Return Lite0 as two LiteRT files, in int8 and in float32: uint8 pixels to `features`.

    The same tensors give the same bytes, whatever else this process has built before.

    Args:
        tensors: the published weights, as `lite0.load_tensors` keeps them.
        input_size: width and height of the pictures, in pixels.

    Raises:
        TrainingFailed: the process failed, for example because TensorFlow is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="classifr-int8-") as name:
        folder = Path(name)
        try:
            limited_processes.ask(
                "training.backbones.quantization",
                {"input_size": input_size},
                str(tensors),
                str(folder),
                wait_seconds=WAIT_SECONDS,
            )
        except ProcessFailed as error:
            raise TrainingFailed(
                _(
                    "The backbone “lite0” could not be converted. It needs TensorFlow, once, and "
                    "about a gigabyte of memory meanwhile: install requirements.txt, or train on "
                    "another machine."
                )
            ) from error
        return (folder / "int8.tflite").read_bytes(), (folder / "float.tflite").read_bytes()


def to_litert(model: keras.Model, *, int8: bool) -> bytes:
    """Return a model as a LiteRT file with a free batch size, its outputs named as the model's are.

    Args:
        model: one input of shape (N, S, S, 3), and a mapping of names to outputs.
        int8: the model is one `with_ranges`: what has a range becomes int8, its input uint8.
    """
    import tensorflow as tf

    (pixels,) = model.inputs
    specification = tf.TensorSpec(pixels.shape, pixels.dtype, name="pixels")
    serve = tf.function(lambda pixels: model(pixels, training=False))
    # The converter asks for what owns the variables, and does not know Keras's
    owner = tf.Module()
    owner.owned = [variable.value for variable in model.variables]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [serve.get_concrete_function(specification)], owner
    )
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.float32
    return bytes(converter.convert())


def with_ranges(network: keras.Model, *, plain: bool = False) -> keras.Model:
    """Return a copy of a network that computes in float32 as its form in int8 does.

    Its weights are rounded to the 255 values that a byte has for each channel that comes out, and
    it says, at every activation, which range int8 is to cover. The input is scaled already: a
    byte's value minus 127, divided by 128.

    Args:
        network: of convolutions, normalisations (as many as convolutions), ReLU6, additions and
            pooling, as EfficientNet-Lite is.
        plain: rounds by operators that every runtime has; LiteRT's converter looks for another.
    """
    import keras
    import tensorflow as tf

    class Range(keras.layers.Layer):
        """Rounds to the 256 values that a byte has in this range."""

        def __init__(self, low: float, high: float, **options: Any) -> None:
            super().__init__(**options)
            self.low, self.high = min(low, 0.0), max(high, 0.0)

        def call(self, values: Any) -> Any:
            if not plain:
                return tf.quantization.fake_quant_with_min_max_args(values, self.low, self.high)
            # Moved so that nought is one of the values
            step = (self.high - self.low) / 255
            below = round(-self.low / step)
            return tf.clip_by_value(tf.round(values / step), -below, 255 - below) * step

    # What is known of a tensor: mean and variance of each channel
    known: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    alive = []  # or an address could be given to another tensor

    def remember(tensor: Any, mean: np.ndarray, variance: np.ndarray) -> Any:
        alive.append(tensor)
        known[id(tensor)] = (mean, variance)
        return tensor

    def ranged(tensor: Any, mean: np.ndarray, variance: np.ndarray, name: str) -> Any:
        spread = DEVIATIONS * np.sqrt(variance)
        low, high = float((mean - spread).min()), float((mean + spread).max())
        return remember(Range(low, high, name=f"{name}_range")(tensor), mean, variance)

    def call(layer: keras.layers.Layer, values: Any, **options: Any) -> Any:
        if isinstance(layer, keras.layers.Rescaling):  # done already
            return Range(-127 / 128, 1.0, name="pixels_range")(values)
        result = layer(values, **options)
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta = (np.asarray(each) for each in network.get_layer(layer.name).weights[:2])
            # An activation follows the others, and one range for both is enough
            if f"{layer.name}_relu" in names:
                return remember(result, beta, gamma**2)
            return ranged(result, beta, gamma**2, layer.name)
        if isinstance(layer, keras.layers.ReLU):
            mean, variance = known[id(values)]
            high = float((mean + DEVIATIONS * np.sqrt(variance)).max())
            return Range(0.0, min(6.0, high), name=f"{layer.name}_range")(result)
        if isinstance(layer, keras.layers.Add):
            (mean, variance), (other_mean, other_variance) = (known[id(each)] for each in values)
            return ranged(result, mean + other_mean, variance + other_variance, layer.name)
        return result

    names = {layer.name for layer in network.layers}
    copy = keras.models.clone_model(network, call_function=call)
    for layer in network.layers:
        if not (weights := layer.get_weights()):
            continue
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            weights[0] = _rounded(weights[0], (0, 1))
        elif isinstance(layer, keras.layers.Conv2D):
            weights[0] = _rounded(weights[0], (0, 1, 2))
        copy.get_layer(layer.name).set_weights(weights)
    return copy


def _rounded(kernel: np.ndarray, within: tuple[int, ...]) -> np.ndarray:
    """Return a kernel whose numbers are multiples, up to 127, of one step for each channel."""
    step = np.maximum(np.abs(kernel).max(axis=within, keepdims=True), 1e-12) / 127
    return (np.round(kernel / step) * step).astype(np.float32)


def main() -> None:
    """Write both files into the folder of the second argument, from the tensors of the first."""
    limited_processes.limit_this_process(
        memory_bytes=MEMORY_BYTES, core_seconds=SECONDS, file_bytes=FILE_BYTES
    )
    size = int(limited_processes.read_question()["input_size"])
    tensors, folder = map(Path, sys.argv[1:])
    from training.backbones import lite0
    from training.backbones.keras_session import import_keras_quietly

    import_keras_quietly()
    import keras

    with np.load(tensors, allow_pickle=False) as kept:
        network = lite0.network_of(dict(kept), size)
    scaled = keras.layers.Input((size, size, 3), name="pixels")
    int8 = keras.Model(scaled, {"features": with_ranges(network)(scaled)})
    (folder / "int8.tflite").write_bytes(to_litert(int8, int8=True))
    pixels = keras.layers.Input((size, size, 3), dtype="uint8", name="pixels")
    # A scaling by one only casts
    features = network(keras.layers.Rescaling(1.0, name="as_numbers")(pixels))
    plain = keras.Model(pixels, {"features": features})
    (folder / "float.tflite").write_bytes(to_litert(plain, int8=False))
    limited_processes.write_answer({})


if __name__ == "__main__":
    main()

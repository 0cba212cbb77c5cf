"""The teacher, MobileNetV2 trained on ImageNet, and how it and the student are run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.bundled_backbone.pictures import TEACHER_SIZE

TEACHER_BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def build_teacher(file: Path, size: int = TEACHER_SIZE) -> tuple[Any, np.ndarray, np.ndarray]:
    """MobileNetV2 up to its last feature map, from an int8 archive; and the weight and bias of its
    classifier.
    """
    import keras
    from keras import layers

    archive = np.load(file)
    built: list[Any] = []

    def conv(x: Any, filters: int, kernel: int, stride: int, activate: bool) -> Any:
        built.append(layers.Conv2D(filters, kernel, strides=stride, padding="same"))
        x = built[-1](x)
        return layers.ReLU(6.0)(x) if activate else x

    def depthwise(x: Any, stride: int) -> Any:
        built.append(layers.DepthwiseConv2D(3, strides=stride, padding="same"))
        return layers.ReLU(6.0)(built[-1](x))

    inputs = layers.Input((size, size, 3))
    x = conv(layers.Rescaling(1 / 127.5, -1.0)(inputs), 32, 3, 2, True)
    channels = 32
    for expansion, filters, count, first_stride in TEACHER_BLOCKS:
        for index in range(count):
            y = conv(x, channels * expansion, 1, 1, True) if expansion > 1 else x
            y = conv(depthwise(y, first_stride if index == 0 else 1), filters, 1, 1, False)
            x = layers.Add()([x, y]) if index and channels == filters else y
            channels = filters
    model = keras.Model(inputs, conv(x, 1280, 1, 1, True))

    def tensor(number: int) -> np.ndarray:
        kind = "dw" if f"{number:02d}_dw_q" in archive else "conv"
        shape = (-1, 1, 1, 1) if kind == "conv" else (1, 1, 1, -1)
        scale, zero = (
            archive[f"{number:02d}_{name}"].astype(np.float32).reshape(shape)
            for name in ("scale", "zero")
        )
        return ((archive[f"{number:02d}_{kind}_q"].astype(np.float32) - zero) * scale).transpose(
            1, 2, 3, 0
        )

    for number, layer in enumerate(built):
        layer.set_weights([tensor(number), archive[f"{number:02d}_bias"]])
    return model, tensor(len(built))[0, 0], archive[f"{len(built):02d}_bias"]


def lite_runner(model: Any, threads: int = 2) -> Callable[[np.ndarray], np.ndarray]:
    """Convert to LiteRT and return a function from one uint8 picture to the model's output."""
    import contextlib
    import io

    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    with contextlib.redirect_stdout(io.StringIO()):
        content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    interpreter = Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]

    def run(pixels: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source, pixels[None].astype(np.float32))
        interpreter.invoke()
        return interpreter.get_tensor(target)[0]

    return run

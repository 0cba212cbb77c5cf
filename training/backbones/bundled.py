"""The backbone that ships with the product: a small residual network.

Input: upright RGB pictures, cropped to the centred square and resized to INPUT_SIZE with an
antialiased bilinear filter, values 0 to 255. The scaling to -1..1 is part of the network. Output:
FEATURES numbers per picture. How it was trained, and on what: bundled/MODEL_CARD.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from training.backbones.base import Backbone, weights_digest
from training.errors import TrainingFailed

if TYPE_CHECKING:
    import keras

INPUT_SIZE = 112
FEATURES = 512
WEIGHTS = Path(__file__).with_suffix("") / "weights.npz"
# Per stage: channels, width inside a bottleneck, number of bottlenecks. Every stage halves the
# resolution first.
STAGES = ((64, 32, 2), (160, 64, 3), (320, 128, 3))
STEM = 24


def find_backbone() -> Backbone:
    """Return the bundled backbone. Raises TrainingFailed if its file is missing."""
    if not WEIGHTS.exists():
        raise TrainingFailed(
            _(
                "The bundled backbone's file %(path)s is missing. Restore it, or choose another "
                "backbone."
            )
            % {"path": WEIGHTS}
        )
    digest = weights_digest(WEIGHTS, "bundled", INPUT_SIZE)
    return Backbone("bundled", digest, INPUT_SIZE, FEATURES, load_network)


def build_network() -> keras.Model:
    """The architecture with fresh weights; the convolution of place NN is named conv_NN."""
    import keras
    from keras import layers

    count = 0

    def conv(x: Any, filters: int, kernel: int, stride: int = 1, *, activate: bool = True) -> Any:
        nonlocal count
        x = layers.Conv2D(
            filters, kernel, strides=stride, padding="same", name=f"conv_{count:02d}"
        )(x)
        count += 1
        return layers.ReLU()(x) if activate else x

    inputs = layers.Input((INPUT_SIZE, INPUT_SIZE, 3), name="pixels")
    x = conv(layers.Rescaling(1 / 127.5, -1.0)(inputs), STEM, 3, 2)
    for channels, width, blocks in STAGES:
        x = conv(x, channels, 3, 2)
        for _block in range(blocks):
            # A bottleneck: narrow, convolved, wide again, and added to what came in
            y = conv(conv(x, width, 1), width, 3)
            x = layers.ReLU()(layers.Add()([x, conv(y, channels, 1, activate=False)]))
    x = conv(x, FEATURES, 1)
    return keras.Model(inputs, layers.GlobalAveragePooling2D(name="features")(x), name="bundled")


def load_network(weights: Path = WEIGHTS) -> keras.Model:
    """The trained network, ready to compute feature vectors."""
    import numpy as np

    model = build_network()
    with np.load(weights) as stored:
        # Stored as float16: the file comes with every installation
        model.set_weights([stored[name].astype("float32") for name in stored.files])
    model.trainable = False
    return model

"""`lite0` for inspection: sees the whole picture, and of surfaces also what stands out.

A mark on a tile covers a hundredth of the picture, and a mean over the whole hides it. So of each
tap there is not only the mean but also the standard deviation, and the means of the hundredth of
the places where a feature is highest and lowest. Photos of things gain nothing by it, and lose by
being squeezed into a square (bench/README.md).

Source of the statistics: pooling by mean and standard deviation is that of Snyder et al. 2018,
"X-vectors", doi:10.1109/ICASSP.2018.8461375; the mean of the highest and lowest places that of
Durand et al. 2016, "WELDON", doi:10.1109/CVPR.2016.513.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

from predictions.predictors.local.ood_detector import Part, Span
from predictions.predictors.local.preprocessing import WHOLE_PICTURE
from training.backbones import lite0
from training.backbones.base import Backbone

if TYPE_CHECKING:
    import keras

NAME = "lite0-inspection"
SHARE = 0.01  # of the places of a tap, the highest and the lowest
STATISTICS = ("mean", "deviation", "highest", "lowest")
FEATURES = lite0.TOP + len(STATISTICS) * sum(lite0.TAPPED)
# Part of the digest, so it changes with what comes out
ARCHITECTURE = f"{lite0.ARCHITECTURE} {' '.join(STATISTICS)} {SHARE}"


def find_backbone() -> Backbone:
    """Return the backbone. Raises TrainingFailed if the package is missing or altered."""
    lite0.load_tensors()
    origin = f"{ARCHITECTURE} {lite0.INPUT_SIZE}\n{lite0.SHA256}"
    return Backbone(
        NAME,
        hashlib.sha256(origin.encode()).hexdigest()[:32],
        lite0.INPUT_SIZE,
        FEATURES,
        load_network,
        feature_parts(),
        preparation=WHOLE_PICTURE,
    )


def feature_parts() -> tuple[Part, ...]:
    """Return the features of late and those of early layers, each statistic by itself."""
    spans: dict[str, list[Span]] = {"pooled": [(0, lite0.TOP)]}
    end = lite0.TOP
    for channels in lite0.TAPPED:
        for _statistic in STATISTICS:
            spans.setdefault(f"tap_{channels}", []).append((end, end + channels))
            end += channels
    return tuple(
        tuple(span for layer in layers for span in spans[layer])
        for layers in (lite0.LATE, lite0.EARLY)
    )


def load_network() -> keras.Model:
    """The network of `lite0` with its weights, and more of its taps in the features."""
    import keras

    base = lite0.load_network()
    taps = [base.get_layer(f"tap_{channels}") for channels in lite0.TAPPED]
    parts = [base.get_layer("pooled").output]
    for tap in taps:
        parts += [tap.output, *pooled_statistics(tap.input)]
    features = keras.layers.Concatenate(name="features")(parts)
    model = keras.Model(base.input, features, name="lite0_inspection")
    model.trainable = False
    return model


def pooled_statistics(places: Any) -> list[Any]:
    """Return deviation, and means of the highest and lowest places, of (N, height, width, C)."""
    from keras import ops

    _batch, height, width, channels = places.shape
    count = height * width
    few = max(1, math.ceil(SHARE * count))
    by_channel = ops.transpose(ops.reshape(places, (-1, count, channels)), (0, 2, 1))
    highest = ops.top_k(by_channel, few)[0]
    lowest = ops.top_k(ops.negative(by_channel), few)[0]
    return [
        ops.std(by_channel, axis=-1),
        ops.mean(highest, axis=-1),
        ops.negative(ops.mean(lowest, axis=-1)),
    ]

"""What a backbone is: the part of a network that turns a picture into a feature vector."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from predictions.predictors.local import preprocessing
from predictions.predictors.local.ood_detector import Part
from predictions.predictors.local.preprocessing import Preparation

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Backbone:
    """A network with fixed weights, to be built where Keras is installed.

    `digest` tells its feature vectors from those of any other network: it covers the weights, the
    architecture's name and the input size. `build` gives a model that maps float pixels 0 to 255,
    shape (N, input_size, input_size, 3), to (N, features); scaling is its own business. `parts`:
    which features are of early and which of late layers, see `OutOfDistributionDetector`.
    `imagenet_head`: of a network taught on ImageNet, returns the weights (features, 1000) and
    biases (1000,) that tell its classes apart. `preparation`: how it sees a picture.

    `served`, if there is one, is a LiteRT file that gives the vectors in the place of `build`,
    while learning and while serving: in int8, so they differ somewhat. `reference` is the same
    network in float32, to tell by how much.
    """

    name: str
    digest: str
    input_size: int
    features: int
    build: Callable[[], "keras.Model"]
    parts: tuple[Part, ...] = ()
    imagenet_head: Callable[[], tuple[np.ndarray, np.ndarray]] | None = None
    preparation: Preparation = preprocessing.CENTRED
    served: Path | None = None
    reference: Path | None = None


def weights_digest(path: Path, architecture: str, input_size: int) -> str:
    """Return a backbone's digest from its file of weights."""
    # The same weights in another architecture, or at another size, give other vectors
    digest = hashlib.sha256(f"{architecture} {input_size}\n".encode())
    digest.update(path.read_bytes())
    return digest.hexdigest()[:32]

"""Networks of `keras.applications`, trained on ImageNet: fetched, not shipped.

How to add one: a row in `NETWORKS`.
"""

import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils.translation import gettext as _

from training.backbones.base import Backbone, weights_digest
from training.backbones.keras_session import import_keras_quietly
from training.errors import TrainingFailed

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)

STORE = "https://storage.googleapis.com/tensorflow/keras-applications"
FETCH_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True)
class NetworkSpec:
    """One architecture, and where its weights are.

    Each takes squares of `input_size` and is pooled by averaging.

    `function` is its name in `keras.applications`. `folder` and `file` are the published weights
    without the classifier, `md5` is what Keras expects of them; `own_file` is how we call the same
    network saved by Keras 3. `architecture` goes into the digest. `scales` says that the network
    scales pixels itself.
    """

    function: str
    architecture: str
    features: int
    folder: str
    file: str
    md5: str | None = None
    scales: bool = True
    input_size: int = 224

    @property
    def own_file(self) -> str:
        return f"{self.architecture}_{self.input_size}_no_top.weights.h5"

    @property
    def address(self) -> str:
        return f"{STORE}/{self.folder}/{self.file}"


NETWORKS = {
    "imagenet": NetworkSpec(
        function="MobileNetV2",
        architecture="mobilenet_v2_1.0",
        features=1280,
        folder="mobilenet_v2",
        file="mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        scales=False,
    ),
    "mobilenetv3small": NetworkSpec(
        function="MobileNetV3Small",
        architecture="mobilenet_v3_small_1.0",
        features=576,
        folder="mobilenet_v3",
        file="weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
        md5="d3e8ec802a04aa4fc771ee12a9a9b836",
    ),
    "mobilenetv3large": NetworkSpec(
        function="MobileNetV3Large",
        architecture="mobilenet_v3_large_1.0",
        features=960,
        folder="mobilenet_v3",
        file="weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        md5="07fb09a5933dd0c8eaafa16978110389",
    ),
    "efficientnetv2b0": NetworkSpec(
        function="EfficientNetV2B0",
        architecture="efficientnet_v2_b0",
        features=1280,
        folder="efficientnet_v2",
        file="efficientnetv2-b0_notop.h5",
        md5="893217f2bb855e2983157299931e43ff",
    ),
}


def find_backbone(name: str, parameters: Mapping[str, Any]) -> Backbone:
    """Return a backbone, with weights that the run names, that are kept here, or that are fetched.

    In this order: a path as the parameter `weights`, a file in `CLASSIFR_WEIGHTS_DIR`, Keras.

    Raises:
        TrainingFailed: none of these has them; the message names the file that is wanted.
    """
    network = NETWORKS[name]
    if parameters.get("weights"):
        path = Path(str(parameters["weights"]))
        if not path.is_file():
            raise TrainingFailed(_("There is no file of weights at %(path)s.") % {"path": path})
    else:
        path = _kept(network) or _fetched(network)
    digest = weights_digest(path, network.architecture, network.input_size)
    return Backbone(
        name, digest, network.input_size, network.features, partial(load_network, name, path)
    )


def available_offline() -> list[str]:
    """Return the networks whose weights lie in `CLASSIFR_WEIGHTS_DIR`, so nothing is fetched."""
    return [name for name, network in NETWORKS.items() if _kept(network)]


def load_network(name: str, weights: Path) -> "keras.Model":
    """Return the network without its classifier.

    Raises: TrainingFailed: the file holds other weights.
    """
    import keras

    network = NETWORKS[name]
    pixels = keras.layers.Input((network.input_size, network.input_size, 3), name="pixels")
    scaled = (
        pixels if network.scales else keras.layers.Rescaling(1 / 127.5, -1.0, name="scaled")(pixels)
    )
    body = untrained_network(name)
    try:
        body.load_weights(weights)
    except (OSError, ValueError, KeyError) as error:
        raise TrainingFailed(
            _(
                "%(path)s does not hold the weights of %(network)s without its classifier. Wanted "
                "is %(name)s."
            )
            % {"path": weights, "network": network.function, "name": network.file}
        ) from error
    model = keras.Model(pixels, body(scaled), name=name)
    model.trainable = False
    return model


def untrained_network(name: str) -> "keras.Model":
    """Return the bare network with random weights, in the form that files of weights are of."""
    import keras

    network = NETWORKS[name]
    # The newer networks scale pixels themselves; MobileNetV2 has no such option
    words = {"include_preprocessing": True} if network.scales else {}
    shape = (network.input_size, network.input_size, 3)
    make = getattr(keras.applications, network.function)
    return make(input_shape=shape, include_top=False, pooling="avg", weights=None, **words)


def _kept(network: NetworkSpec) -> Path | None:
    if not settings.CLASSIFR_WEIGHTS_DIR:
        return None
    folder = Path(settings.CLASSIFR_WEIGHTS_DIR)
    # Under the name of the published file, or under ours, for one that Keras 3 saved
    return next(
        (folder / name for name in (network.file, network.own_file) if (folder / name).is_file()),
        None,
    )


def _fetched(network: NetworkSpec) -> Path:
    """Let Keras fetch the file, or find it where it did before."""
    import_keras_quietly()
    import keras

    before = socket.getdefaulttimeout()
    # Keras sets no timeout, and a server that does not answer must not hold a run for ever
    socket.setdefaulttimeout(FETCH_TIMEOUT_SECONDS)
    try:
        path = keras.utils.get_file(
            network.file, network.address, cache_subdir="models", file_hash=network.md5
        )
    except Exception as error:  # get_file raises bare Exception for what the network did
        logger.warning("Keras could not fetch %s: %s", network.address, error)
        raise TrainingFailed(
            _(
                "The ImageNet weights could not be fetched from %(address)s. Put the file %(name)s "
                "into a folder and name that folder in CLASSIFR_WEIGHTS_DIR, or choose the "
                "backbone “lite0”."
            )
            % {"address": network.address, "name": network.file}
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    return Path(path)

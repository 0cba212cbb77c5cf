"""From an upright RGB picture to what an exported model sees, as the export says it.

Four definitions, after the code that Microsoft gives with such models:

- SQUARE: the shorter side is scaled to the input, bilinear, and the centre is cut out. So does
  `predict.py` of exported containers since exporter version 2 (`CropMethod` is
  "FullImageShorterSide" or "CenterCrop" in metadata_properties.json).
- STRETCH: the whole picture is scaled to the input ("NoCrop"), as predict.py of
  github.com/Azure-Samples/customvision-export-samples does.
- CLASSIC: before there was metadata_properties.json. At most 1600 pixels on a side, the centred
  square, 256 x 256 and of that the centre, each time with OpenCV's INTER_LINEAR; channels are BGR.
  So does "Tutorial: Run a TensorFlow model in Python" of Custom Vision's documentation.
- OWN: the definition of Classifr's own exports, see `predictions.predictors.local.preprocessing`.

TensorFlow Lite models get numbers from 0 to 255 whatever `Image.NominalPixelRange` says: the same
samples and containers do so, and the network scales them itself. ONNX models get what it says.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from customvision.exported.refusals import Refused
from predictions.predictors.local import preprocessing

SQUARE, STRETCH, CLASSIC, OWN = "square", "stretch", "classic", "own"
CLASSIC_MOST_SIDE = 1600
CLASSIC_SQUARE = 256

_CROP = "CustomVision.Preprocess.CropMethod"
_RESIZE = "CustomVision.Preprocess.ResizeMethod"
_TARGET = ("CustomVision.Preprocess.TargetWidth", "CustomVision.Preprocess.TargetHeight")
_MEAN, _STD = "CustomVision.Preprocess.NormalizeMean", "CustomVision.Preprocess.NormalizeStd"
_FORMAT, _RANGE = "Image.BitmapPixelFormat", "Image.NominalPixelRange"
_METHOD = "CustomVision.Postprocess.Method"
_CROPS = {
    "FullImageShorterSide": (SQUARE, ("", "Stretch", "ByShorterSideAlign32", "ByShorterSide")),
    "CenterCrop": (SQUARE, ("", "Stretch", "ByShorterSideAlign32", "ByShorterSide")),
    "NoCrop": (STRETCH, ("", "Stretch")),
}
_UPTO_255, _UPTO_1 = "NominalRange_0_255", "Normalized_0_1"
_ACTIVATIONS = {"ClassificationMultiClass": "softmax", "ClassificationMultiLabel": "sigmoid"}

Properties = Mapping[str, str]


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes an input. `width` and `height` are those of the input in pixels."""

    method: str
    width: int
    height: int
    is_bgr: bool = False
    divisor: float = 1.0  # 255: numbers from 0 to 1
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def as_facts(self) -> dict[str, Any]:
        """Return it as JSON has it, for a manifest."""
        return asdict(self)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "Preprocessing":
        known = dict(facts)
        return cls(**{**known, "mean": tuple(known["mean"]), "std": tuple(known["std"])})

    @property
    def least_side(self) -> int | None:
        """Return how many pixels of the shorter side are needed; None: all, as they are sampled."""
        if self.method == CLASSIC:
            return None
        return preprocessing.min_side_for(max(self.width, self.height))

    def prepare(self, image: Image.Image, *, crop: float = 1.0) -> np.ndarray:
        """Return a picture as float32, shape (height, width, 3).

        Args:
            image: upright RGB.
            crop: the part of both sides that counts, around the centre; in (0, 1].
        """
        image = image if image.mode == "RGB" else image.convert("RGB")
        if crop < 1:
            width, height = (max(1, int(side * crop)) for side in image.size)
            left, top = (image.width - width) // 2, (image.height - height) // 2
            image = image.crop((left, top, left + width, top + height))
        match self.method:
            case "classic":
                pixels = _classic(image, self.width)
            case "stretch":
                size = (self.width, self.height)
                pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
            case "own":
                pixels = preprocessing.crop_and_scale(image, self.width)
            case _:
                pixels = _square(image, self.width)
        if self.is_bgr:
            pixels = pixels[..., ::-1]
        numbers = pixels.astype(np.float32)
        if self.divisor != 1:
            numbers /= np.float32(self.divisor)
        if any(self.mean) or set(self.std) != {1.0}:
            mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
            numbers = (numbers - mean) / std
        return np.ascontiguousarray(numbers, dtype=np.float32)


def read_preprocessing(
    properties: Properties, *, width: int, height: int, is_onnx: bool, is_own: bool = False
) -> Preprocessing:
    """Return what metadata_properties.json, or an ONNX file, says of the preparation of pictures.

    Args:
        properties: its members; empty where the export has none.
        width, height: of the model's input in pixels.
        is_own: it is an export of Classifr.

    Raises:
        Refused: it asks for something that is not known here.
    """
    if is_own:
        return Preprocessing(OWN, width, height)
    for name, size in zip(_TARGET, (width, height), strict=True):
        if properties.get(name, "0") not in ("", "0", str(size)):
            raise Refused("preprocessing", f"{name}={properties[name]}")
    method = _method_of(properties, is_onnx)
    if width != height and method != STRETCH:
        raise Refused("preprocessing", f"{width} x {height}")
    format_ = properties.get(_FORMAT, "Bgr8" if method == CLASSIC else "Rgb8")
    if format_ not in ("Bgr8", "Rgb8"):
        raise Refused("preprocessing", f"{_FORMAT}={format_[:50]}")
    range_ = properties.get(_RANGE, _UPTO_1 if is_onnx else _UPTO_255)
    if range_ not in (_UPTO_255, _UPTO_1):
        raise Refused("preprocessing", f"{_RANGE}={range_[:50]}")
    mean, std = _triple(properties, _MEAN, 0.0), _triple(properties, _STD, 1.0)
    if not all(std) or (not is_onnx and (any(mean) or set(std) != {1.0})):
        raise Refused("preprocessing", f"{_MEAN}, {_STD}")
    divisor = 255.0 if is_onnx and range_ == _UPTO_1 else 1.0
    return Preprocessing(method, width, height, format_ == "Bgr8", divisor, mean, std)


def activation_of(properties: Properties) -> str:
    """Return "softmax" or "sigmoid", or "" where the export does not say it. Raises Refused."""
    method = properties.get(_METHOD, "")
    if method and method not in _ACTIVATIONS:
        raise Refused("preprocessing", f"{_METHOD}={method[:50]}")
    return _ACTIVATIONS.get(method, "")


def _method_of(properties: Properties, is_onnx: bool) -> str:
    crop = properties.get(_CROP, "")
    if not crop:
        return STRETCH if is_onnx else CLASSIC
    method, resizes = _CROPS.get(crop, ("", ()))
    resize = properties.get(_RESIZE, "")
    if resize not in resizes:
        raise Refused("preprocessing", f"{_CROP}={crop[:50]}, {_RESIZE}={resize[:50]}")
    return method


def _triple(properties: Properties, name: str, default: float) -> tuple[float, float, float]:
    text = properties.get(name, "")
    if text in ("", "null", "[]"):
        return (default,) * 3
    try:
        red, green, blue = (float(number) for number in json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise Refused("preprocessing", f"{name}={text[:50]}") from error
    if not np.isfinite([red, green, blue]).all():
        raise Refused("preprocessing", f"{name}={text[:50]}")
    return red, green, blue


def _square(image: Image.Image, size: int) -> np.ndarray:
    """Return what is left when the shorter side is scaled to `size` and the centre is cut out.

    Only that part is computed, or a picture of 10,000 x 1 pixels would be scaled to gigabytes.
    """
    width, height = image.size
    aspect = width / height
    scaled = (size, round(size / aspect)) if width < height else (round(size * aspect), size)
    left, top = ((side - size) // 2 for side in scaled)
    across, down = width / scaled[0], height / scaled[1]
    # Rounding may end a millionth of a pixel outside, which Pillow refuses
    box = (
        max(0.0, left * across),
        max(0.0, top * down),
        min(float(width), (left + size) * across),
        min(float(height), (top + size) * down),
    )
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))


def _classic(image: Image.Image, size: int) -> np.ndarray:
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    if max(width, height) >= CLASSIC_MOST_SIDE:
        most = CLASSIC_MOST_SIDE
        taller = height > width
        new = (most * width // height, most) if taller else (most, most * height // width)
        pixels = _sample(pixels, max(1, new[0]), max(1, new[1]))
    side = min(pixels.shape[:2])
    between = max(CLASSIC_SQUARE, size)  # a network with a larger input sees the whole square
    square = _sample(_centre(pixels, side), between, between)
    return _centre(square, size)


def _centre(pixels: np.ndarray, size: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    left, top = width // 2 - size // 2, height // 2 - size // 2
    return pixels[top : top + size, left : left + size]


def _sample(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return a picture of another size as OpenCV's INTER_LINEAR makes it.

    Of the four nearest pixels, without an average over those that are left out.
    """
    rows, down = _places(pixels.shape[0], height)
    columns, across = _places(pixels.shape[1], width)
    after_rows = np.minimum(rows + 1, pixels.shape[0] - 1)
    after_columns = np.minimum(columns + 1, pixels.shape[1] - 1)
    down, across = down[:, None, None], across[None, :, None]
    upper = pixels[rows][:, columns] * (1 - across) + pixels[rows][:, after_columns] * across
    lower = (
        pixels[after_rows][:, columns] * (1 - across)
        + pixels[after_rows][:, after_columns] * across
    )
    return np.rint(upper * (1 - down) + lower * down).astype(np.uint8)


def _places(length: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Return between which pixels each wanted one lies: the first of the two, and how far on."""
    where = np.clip((np.arange(wanted) + 0.5) * (length / wanted) - 0.5, 0, length - 1)
    first = np.floor(where).astype(np.intp)
    return first, (where - first).astype(np.float32)

"""The preparation of pictures, against computations of another kind."""

import numpy as np
import pytest
from PIL import Image

from customvision.exported import pixels
from customvision.exported.pixels import Preprocessing, read_preprocessing
from customvision.exported.refusals import Refused
from customvision.exported.tests.factories import SIZE, SQUARE_RGB
from predictions.predictors.local import preprocessing


def noise(width: int, height: int) -> Image.Image:
    values = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def read(properties, *, is_onnx=False, **options):
    return read_preprocessing(
        SQUARE_RGB | properties, width=SIZE, height=SIZE, is_onnx=is_onnx, **options
    )


def scaled_then_cut(image: Image.Image, size: int) -> np.ndarray:
    """Do what predict.py of an exported container does: scale all, then cut the centre."""
    width, height = image.size
    ratio = width / height
    if width < height:
        image = image.resize((size, round(size / ratio)), Image.Resampling.BILINEAR)
    else:
        image = image.resize((round(size * ratio), size), Image.Resampling.BILINEAR)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize("sides", [(64, 48), (48, 64), (51, 50), (301, 77), (16, 16), (9, 30)])
def test_the_square_is_what_a_container_sees(sides):
    image = noise(*sides)
    found = Preprocessing(pixels.SQUARE, SIZE, SIZE).prepare(image)
    assert found.dtype == np.float32
    assert np.abs(found - scaled_then_cut(image, SIZE)).max() <= 1


def test_a_very_long_picture_is_not_scaled_as_a_whole():
    found = Preprocessing(pixels.SQUARE, 224, 224).prepare(Image.new("RGB", (40_000, 1), "red"))
    assert (found == [255, 0, 0]).all()


def nearest_four(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale as OpenCV's INTER_LINEAR is documented, pixel by pixel."""
    result = np.empty((height, width, 3))
    for row in range(height):
        for column in range(width):
            y = min(max((row + 0.5) * image.shape[0] / height - 0.5, 0), image.shape[0] - 1)
            x = min(max((column + 0.5) * image.shape[1] / width - 0.5, 0), image.shape[1] - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, image.shape[0] - 1), min(left + 1, image.shape[1] - 1)
            dy, dx = y - top, x - left
            upper = image[top, left] * (1 - dx) + image[top, right] * dx
            lower = image[bottom, left] * (1 - dx) + image[bottom, right] * dx
            result[row, column] = upper * (1 - dy) + lower * dy
    return np.round(result)


@pytest.mark.parametrize("sides", [(90, 60), (40, 61)])
def test_a_classic_export_sees_the_middle_of_256_pixels_in_bgr(sides):
    image = noise(*sides)
    found = read_preprocessing({}, width=227, height=227, is_onnx=False)
    assert (found.method, found.is_bgr, found.least_side) == (pixels.CLASSIC, True, None)
    values = np.asarray(image).astype(float)
    side = min(sides)
    left, top = sides[0] // 2 - side // 2, sides[1] // 2 - side // 2
    square = nearest_four(values[top : top + side, left : left + side], 256, 256)
    expected = square[15 : 15 + 227, 15 : 15 + 227, ::-1]  # 256 // 2 - 227 // 2
    assert np.abs(found.prepare(image) - expected).max() <= 1


def test_a_classic_export_sees_large_pictures_at_1600_pixels():
    found = Preprocessing(pixels.CLASSIC, 224, 224)
    image = Image.new("RGB", (3200, 1600), "blue")
    image.paste("red", (800, 0, 2400, 1600))
    assert (found.prepare(image) == [255, 0, 0]).all()


def test_no_crop_stretches_the_picture():
    changes = {
        "CustomVision.Preprocess.CropMethod": "NoCrop",
        "CustomVision.Preprocess.ResizeMethod": "Stretch",
    }
    image = noise(80, 40)
    expected = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    assert (read(changes).prepare(image) == expected).all()


def test_bgr_turns_the_channels_around():
    bgr = read({"Image.BitmapPixelFormat": "Bgr8"})
    image = noise(40, 40)
    assert (bgr.prepare(image) == read({}).prepare(image)[..., ::-1]).all()


def test_onnx_gets_the_range_that_it_asks_for():
    image = Image.new("RGB", (20, 20), (255, 51, 0))
    assert read({}, is_onnx=True).prepare(image)[0, 0] == pytest.approx([1, 0.2, 0])
    full = read({"Image.NominalPixelRange": "NominalRange_0_255"}, is_onnx=True)
    assert (full.prepare(image)[0, 0] == [255, 51, 0]).all()
    assert (read({}).prepare(image)[0, 0] == [255, 51, 0]).all()  # TensorFlow Lite scales itself


def test_mean_and_deviation_are_of_the_channels_in_their_order():
    changes = {
        "CustomVision.Preprocess.NormalizeMean": "[0.5, 0.25, 0.0]",
        "CustomVision.Preprocess.NormalizeStd": "[0.5, 0.5, 2.0]",
    }
    image = Image.new("RGB", (20, 20), (255, 0, 255))
    assert read(changes, is_onnx=True).prepare(image)[3, 3] == pytest.approx([1, -0.5, 0.5])


def test_a_crop_is_the_middle_of_both_sides():
    image = Image.new("RGB", (100, 60), "blue")
    image.paste("red", (10, 6, 90, 54))
    assert (Preprocessing(pixels.STRETCH, 8, 8).prepare(image, crop=0.8) == [255, 0, 0]).all()


def test_an_own_export_sees_what_the_server_sees():
    image = noise(70, 50)
    found = read_preprocessing({}, width=32, height=32, is_onnx=False, is_own=True)
    assert (found.prepare(image) == preprocessing.crop_and_scale(image, 32)).all()


def test_it_survives_a_manifest():
    found = read({"Image.BitmapPixelFormat": "Bgr8"}, is_onnx=True)
    assert Preprocessing.from_facts(found.as_facts()) == found


@pytest.mark.parametrize(
    ("changes", "is_onnx"),
    [
        ({"CustomVision.Preprocess.CropMethod": "Diagonal"}, False),
        ({"CustomVision.Preprocess.ResizeMethod": "ByLongerSide"}, False),
        ({"CustomVision.Preprocess.CropMethod": "NoCrop"}, False),  # and by the shorter side
        ({"CustomVision.Preprocess.TargetWidth": "300"}, False),
        ({"Image.BitmapPixelFormat": "Gray8"}, False),
        ({"Image.NominalPixelRange": "NominalRange_16_235"}, True),
        ({"CustomVision.Preprocess.NormalizeMean": "[1.0, 2.0, 3.0]"}, False),
        ({"CustomVision.Preprocess.NormalizeMean": "[1.0, 2.0]"}, True),
        ({"CustomVision.Preprocess.NormalizeMean": "[NaN, 2.0, 1.0]"}, True),
        ({"CustomVision.Preprocess.NormalizeStd": "[0.0, 1.0, 1.0]"}, True),
        ({"CustomVision.Preprocess.NormalizeStd": "[" * 5000}, True),
    ],
)
def test_what_is_not_known_is_refused(changes, is_onnx):
    with pytest.raises(Refused) as caught:
        read(changes, is_onnx=is_onnx)
    assert caught.value.code == "preprocessing" and caught.value.detail


def test_the_activation_is_read():
    assert pixels.activation_of(SQUARE_RGB) == "softmax"
    multilabel = {"CustomVision.Postprocess.Method": "ClassificationMultiLabel"}
    assert pixels.activation_of(multilabel) == "sigmoid"
    assert pixels.activation_of({}) == ""
    with pytest.raises(Refused):
        pixels.activation_of({"CustomVision.Postprocess.Method": "Yolo"})

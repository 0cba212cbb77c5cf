"""The two ways to prepare a picture: the centred square, and the whole picture for inspection."""

import numpy as np
import pytest
from PIL import Image

from predictions.predictors.base import PredictorError
from predictions.predictors.local import preprocessing
from predictions.predictors.local.predictor import LocalPredictor
from predictions.predictors.local.preprocessing import CENTRED, WHOLE_PICTURE
from predictions.tests import tiny_model
from predictions.tests.predictor_contract import picture_of

WHOLE = {"name": WHOLE_PICTURE.name, "digest": WHOLE_PICTURE.digest}


def banded(*, size: tuple[int, int] = (160, 80)) -> Image.Image:
    """Return a red picture whose left and right quarters, outside the centred square, are blue."""
    image = Image.new("RGB", size, "blue")
    image.paste("red", (size[0] // 4, 0, size[0] * 3 // 4, size[1]))
    return image


def test_the_whole_picture_is_squeezed_into_the_square():
    pixels = preprocessing.crop_and_scale(banded(), 32, preparation=WHOLE_PICTURE)
    assert pixels.shape == (32, 32, 3)
    assert pixels[16, 0].tolist() == pixels[16, 31].tolist() == [0, 0, 255]
    assert pixels[16, 16].tolist() == [255, 0, 0]


def test_the_centred_square_is_as_before():
    assert (preprocessing.crop_and_scale(banded(), 32) == [255, 0, 0]).all()


@pytest.mark.parametrize(
    ("preparation", "crop", "seen"),
    [
        (CENTRED, 1.0, (40, 0, 120, 80)),
        (CENTRED, 0.5, (60, 20, 100, 60)),
        (WHOLE_PICTURE, 1.0, (0, 0, 160, 80)),
        (WHOLE_PICTURE, 0.5, (40, 20, 120, 60)),
    ],
)
def test_what_is_seen_lies_in_the_middle(preparation, crop, seen):
    assert preprocessing.seen_part((160, 80), crop=crop, preparation=preparation) == seen


def test_the_digests_stay():
    """Others would have all models refused and all vectors computed anew."""
    assert (CENTRED.digest, WHOLE_PICTURE.digest) == ("c1660d05984438cc", "f5e468592520748d")


class TestServing:
    @pytest.fixture(autouse=True)
    def models_of_this_test(self, settings, tmp_path):
        disk = {
            "BACKEND": "common.storages.DiskStorage",
            "OPTIONS": {"location": str(tmp_path / "models")},
        }
        settings.DATA_DIR, settings.STORAGES = tmp_path, settings.STORAGES | {"models": disk}

    @pytest.mark.parametrize(("facts", "blue"), [(None, False), (WHOLE, True)])
    def test_a_model_sees_what_its_bundle_says(self, facts, blue):
        manifest = {"preprocessing": facts} if facts else {}
        model = tiny_model.write_tiny_bundle(**manifest)
        picture = picture_of("red", (160, 80))
        picture.image.paste("blue", (0, 0, 50, 80))
        picture.image.paste("blue", (110, 0, 160, 80))
        (scores,) = LocalPredictor(alias="keras").predict([picture], model)
        assert (scores["blue"] > scores["red"]) is blue

    def test_another_definition_of_the_same_name_is_refused(self):
        model = tiny_model.write_tiny_bundle(preprocessing=WHOLE | {"digest": CENTRED.digest})
        with pytest.raises(PredictorError, match="another way of preparing pictures"):
            LocalPredictor(alias="keras").warm_up(model)


def test_the_crops_of_one_picture_are_of_its_own_preparation():
    pixels = preprocessing.crop_batch([banded()], 16, crops=(1.0, 0.4), preparation=WHOLE_PICTURE)
    assert pixels[0, 8, 0].tolist() == [0, 0, 255]
    assert (pixels[1] == np.array([255, 0, 0])).all()

"""What in a picture spoke for an answer: a real model, asked again with parts hidden."""

import io

import numpy as np
import pytest
from django.core.cache import caches
from django.urls import reverse
from PIL import Image

from predictions import explanations
from predictions.explanations import Explanation
from predictions.models import Sample
from predictions.predictors.local import occlusion, preprocessing
from predictions.tests import tiny_model
from predictions.tests.factories import make_live_model, make_prediction, make_sample, make_user

HTMX = {"HTTP_HX_REQUEST": "true"}
CORNERS = {
    "top left": (0, 0),
    "top right": (60, 0),
    "bottom left": (0, 60),
    "bottom right": (60, 60),
}


@pytest.fixture(autouse=True)
def models_of_this_test(settings, tmp_path):
    disk = {
        "BACKEND": "common.storages.DiskStorage",
        "OPTIONS": {"location": str(tmp_path / "models")},
    }
    settings.DATA_DIR, settings.STORAGES = tmp_path, settings.STORAGES | {"models": disk}
    caches["explanations"].clear()


def grey_with(*patches: tuple[str, tuple[int, int]], size: tuple[int, int] = (90, 90)) -> bytes:
    """Return a grey PNG with coloured patches of 30 x 30 pixels."""
    image = Image.new("RGB", size, "grey")
    for colour, (left, top) in patches:
        image.paste(colour, (left, top, left + 30, top + 30))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def make_asked(data: bytes, *, manifest: dict | None = None, **fields):
    """Make a prediction of the tiny model, which answers by the mean colour."""
    manifest = manifest or {}
    model = tiny_model.write_tiny_bundle(**manifest)
    version = make_live_model(
        manifest=manifest,
        class_names=model.class_names,
        predictor="keras",
        reference=model.reference,
        digest=model.digest,
    )
    sample = make_sample(version.project, data=data, **fields)
    return make_prediction(
        sample=sample, model_version=version, scores={"red": 0.8, "green": 0.1, "blue": 0.1}
    )


def url(prediction, page="explanation", **parameters):
    return reverse(f"predictions:{page}", args=[prediction.uuid], query=parameters)


class TestOcclusion:
    def test_what_is_hidden_to_no_effect_counts_nothing(self):
        evidence = occlusion.occlusion_sensitivity(
            lambda batch: np.full((len(batch), 2), 0.5), np.zeros((18, 18, 3), np.uint8)
        )
        assert evidence.shape == (occlusion.GRID, occlusion.GRID, 2)
        assert not evidence.any()

    def test_a_part_that_spoke_for_one_class_spoke_against_the_other(self):
        def sees_the_corner(batch):
            bright = batch[:, :6, :6].mean(axis=(1, 2, 3)) / 255
            return np.stack([bright, 1 - bright], axis=1).clip(0.01, 0.99)

        pixels = np.zeros((27, 27, 3), np.uint8)
        pixels[:6, :6] = 250
        evidence = occlusion.occlusion_sensitivity(sees_the_corner, pixels)
        assert np.unravel_index(evidence[:, :, 0].argmax(), (9, 9)) == (0, 0)
        assert evidence[:, :, 1] == pytest.approx(-evidence[:, :, 0], abs=1e-4)
        assert not evidence[5:, 5:].any()

    @pytest.mark.parametrize("size", [16, 96, 112, 224])
    def test_every_part_is_hidden_whatever_the_size(self, size):
        seen = []

        def answers(batch):
            seen.append(batch)
            return np.full((len(batch), 2), 0.5)

        pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
        occlusion.occlusion_sensitivity(answers, pixels)
        batch = np.concatenate(seen)
        assert (batch[0] == pixels).all()
        assert (batch[1:] != pixels).any(axis=(0, 3)).all()

    def test_a_sure_answer_stays_finite(self):
        sure = occlusion.occlusion_sensitivity(
            lambda batch: np.tile([1.0, 0.0], (len(batch), 1)), np.zeros((9, 9, 3), np.uint8)
        )
        assert np.isfinite(sure).all()


class TestWords:
    @pytest.mark.parametrize(
        ("row", "column", "words"),
        [
            (0, 0, "mostly at the top left"),
            (4, 4, "mostly in the middle"),
            (8, 4, "mostly at the bottom."),
        ],
    )
    def test_name_the_ninth_with_most_of_the_heat(self, row, column, words):
        heat = np.zeros((9, 9))
        heat[row, column] = 1
        assert words in explanations.describe_location(heat)

    def test_say_when_it_is_spread_and_when_there_is_none(self):
        heat = np.ones((9, 9))
        heat[4, 8] = 3
        assert "spread over the picture, most of it at the right" in explanations.describe_location(
            heat
        )
        assert "No single part" in explanations.describe_location(np.zeros((9, 9)))

    def test_what_spoke_against_is_no_heat(self):
        explanation = Explanation(["a"], -np.ones((9, 9, 1)))
        assert not explanation.heat("a").any()


@pytest.mark.django_db
class TestPage:
    @pytest.mark.parametrize("corner", CORNERS)
    def test_points_to_the_corner_that_decided(self, client, corner):
        prediction = make_asked(grey_with(("red", CORNERS[corner])))
        client.force_login(prediction.user)
        page = client.get(url(prediction), **HTMX).content.decode()
        assert f"The evidence is mostly at the {corner}." in page

    def test_another_category_has_its_own_place(self, client):
        prediction = make_asked(grey_with(("red", (0, 0)), ("blue", (60, 60))))
        client.force_login(prediction.user)
        assert "mostly at the top left" in client.get(url(prediction), **HTMX).content.decode()
        assert (
            "mostly at the bottom right"
            in client.get(url(prediction, category="blue"), **HTMX).content.decode()
        )

    def test_only_the_centred_square_counts(self, client):
        prediction = make_asked(grey_with(("red", (0, 0)), ("red", (115, 60)), size=(200, 90)))
        client.force_login(prediction.user)
        assert "mostly at the bottom right" in client.get(url(prediction), **HTMX).content.decode()

    def test_of_a_model_for_inspection_the_margin_counts_too(self, client):
        whole = preprocessing.WHOLE_PICTURE
        asked = make_asked(
            grey_with(("red", (0, 30)), size=(180, 90)),
            manifest={"preprocessing": {"name": whole.name, "digest": whole.digest}},
        )
        client.force_login(asked.user)
        assert "mostly at the left." in client.get(url(asked), **HTMX).content.decode()
        heat = np.asarray(Image.open(io.BytesIO(client.get(url(asked, "heat")).content)))
        assert heat.shape == (90, 180, 3)
        # Grey beyond the centred square is no margin, and red is where the heat is
        assert heat[45, 15].sum() > heat[45, 165].sum() > 3 * 128 * explanations.UNSEEN

    def test_the_heat_is_drawn_where_it_is(self, client):
        prediction = make_asked(grey_with(("red", (60, 0))))
        client.force_login(prediction.user)
        response = client.get(url(prediction, "heat"))
        assert (response.status_code, response["Content-Type"]) == (200, "image/png")
        assert response["Cache-Control"] == "private, max-age=3600"
        image = Image.open(io.BytesIO(response.content))
        assert image.size == (90, 90)
        brightness = {
            name: sum(image.getpixel((x + 10, y + 10))) for name, (x, y) in CORNERS.items()
        }
        assert max(brightness, key=brightness.__getitem__) == "top right"
        again = client.get(url(prediction, "heat"), headers={"If-None-Match": response["ETag"]})
        assert again.status_code == 304
        assert client.get(url(prediction, "heat", category="blue"))["ETag"] != response["ETag"]

    def test_without_scripts_it_is_a_whole_page(self, client):
        prediction = make_asked(grey_with(("red", (60, 0))))
        client.force_login(prediction.user)
        page = client.get(url(prediction)).content.decode()
        assert "<html" in page and "mostly at the top right" in page
        assert url(prediction) in client.get(prediction.get_absolute_url()).content.decode()

    def test_the_model_is_asked_once_for_the_words_and_the_picture(self, client, monkeypatch):
        prediction = make_asked(grey_with(("red", (60, 0))))
        client.force_login(prediction.user)
        client.get(url(prediction), **HTMX)
        monkeypatch.setattr(
            occlusion, "occlusion_sensitivity", lambda *args: pytest.fail("asked again")
        )
        assert client.get(url(prediction, "heat")).status_code == 200
        assert client.get(url(prediction, category="green"), **HTMX).status_code == 200

    def test_a_category_that_the_model_does_not_know_is_refused(self, client):
        prediction = make_asked(grey_with(("red", (60, 0))))
        client.force_login(prediction.user)
        for page in ("explanation", "heat"):
            response = client.get(url(prediction, page, category="purple"), **HTMX)
            assert response.status_code == 400
            assert "does not know this category" in response.content.decode()

    def test_a_picture_that_is_gone_cannot_be_explained(self, client):
        prediction = make_asked(grey_with(("red", (60, 0))))
        Sample.objects.filter(pk=prediction.sample_id).update(location="nowhere", file_name="")
        client.force_login(prediction.user)
        response = client.get(url(prediction), **HTMX)
        assert response.status_code == 409
        assert "can no longer be reviewed" in response.content.decode()
        assert client.get(url(prediction, "heat")).status_code == 404

    def test_a_model_that_cannot_tell_says_so(self, client):
        prediction = make_prediction()
        client.force_login(prediction.user)
        response = client.get(url(prediction))
        assert response.status_code == 409
        assert "cannot explain it" in response.content.decode()

    def test_nobody_else_sees_it(self, client):
        prediction = make_asked(grey_with(("red", (60, 0))))
        client.force_login(prediction.user)
        client.get(url(prediction))
        client.force_login(make_user("maintainer"))
        for page in ("explanation", "heat"):
            assert client.get(url(prediction, page)).status_code == 404

"""What decoding costs is counted beside the pictures: few bytes may hold many pixels and scans."""

from contextlib import nullcontext
from datetime import timedelta

import numpy as np
import pytest
from django.db.models import F
from django.utils import timezone

from common.errors import QuotaReached
from common.media import images
from common.tests import crafted
from customvision.api.tests.factories import make_caller, make_published
from predictions import batches, explanations, quotas, uploads
from predictions.models import DailyUploads, Project
from predictions.tests.factories import (
    make_live_model,
    make_picture_bytes,
    make_prediction,
    make_project,
    make_upload,
    make_user,
)

pytestmark = pytest.mark.django_db
PROJECT = Project()  # of pictures; these tests need no row
EVIDENCE = np.ones((9, 9, 2), np.float32)


@pytest.fixture
def alice():
    return make_user(username="alice")


@pytest.fixture(autouse=True)
def few(settings):
    settings.UPLOAD_RATE, settings.UPLOAD_MEGAPIXELS, settings.UPLOAD_QUOTA = "10/h", 1, 1_000


def dear() -> bytes:
    """Return a small file of 0.3 megapixels and 90 scans."""
    return crafted.with_scans(
        crafted.encoded("JPEG", crafted.scene(640, 480), progressive=True), 90
    )


def test_small_pictures_are_counted_by_their_number_alone(alice):
    for _ in range(10):
        uploads.decode_user_upload(PROJECT, make_upload(make_picture_bytes()), by=alice)
    with pytest.raises(QuotaReached, match="More than 10 pictures"):
        uploads.decode_user_upload(PROJECT, make_upload(make_picture_bytes()), by=alice)


def test_pixels_times_scans_are_counted_before_any_is_decoded(alice, monkeypatch):
    uploads.decode_user_upload(PROJECT, make_upload(dear()), by=alice)
    monkeypatch.setattr(images, "decode_upload", lambda *args, **options: pytest.fail("decoded"))
    with pytest.raises(QuotaReached, match="too much processing in a short time") as refused:
        uploads.decode_user_upload(PROJECT, make_upload(make_picture_bytes()), by=alice)
    assert 3600 < refused.value.retry_after_seconds <= 7201, (
        "what was too much is taken off the next hour"
    )


def test_what_was_too_much_is_taken_off_the_next_windows(alice):
    uploads.decode_user_upload(PROJECT, make_upload(dear()), by=alice)  # 27.6 of 10
    for hours in (1, 2, 3):
        with pytest.raises(QuotaReached) if hours == 1 else nullcontext():
            DailyUploads.objects.update(window=F("window") - 1)
            uploads.decode_user_upload(PROJECT, make_upload(make_picture_bytes()), by=alice)
    assert DailyUploads.objects.get().megapixels_in_window < 1


def test_there_is_a_limit_for_the_day_which_ends_with_it(alice, settings):
    settings.UPLOAD_QUOTA = 20
    uploads.decode_user_upload(PROJECT, make_upload(dear()), by=alice)
    DailyUploads.objects.update(window=F("window") - 24)
    with pytest.raises(QuotaReached, match="today's processing quota"):
        uploads.decode_user_upload(PROJECT, make_upload(make_picture_bytes()), by=alice)
    DailyUploads.objects.update(
        day=timezone.now().date() - timedelta(days=1), window=F("window") - 24
    )
    uploads.decode_user_upload(PROJECT, make_upload(make_picture_bytes()), by=alice)
    assert DailyUploads.objects.get().megapixels < 1


def test_one_users_work_is_not_anothers(alice):
    uploads.decode_user_upload(PROJECT, make_upload(dear()), by=alice)
    uploads.decode_user_upload(PROJECT, make_upload(dear()), by=make_user(username="ben"))


def test_each_picture_of_a_batch_counts(alice):
    project = make_live_model(make_project()).project
    files = [make_upload(dear(), name="dear.jpg"), make_upload(name="after.jpg")]
    items = batches.create_batch(project, files, by=alice).items.order_by("pk")
    assert [bool(item.error) for item in items] == [False, True]


def test_a_heat_map_counts_and_one_that_is_remembered_does_not(alice, monkeypatch):
    prediction = make_prediction(alice)
    monkeypatch.setattr(
        explanations.predictors[prediction.model_version.predictor],
        "explain",
        lambda *args: EVIDENCE,
    )
    explanations.explain_prediction(prediction)
    explanations.explain_prediction(prediction)
    assert DailyUploads.objects.get().megapixels == pytest.approx(explanations.MEGAPIXELS, rel=0.01)
    with pytest.raises(QuotaReached):
        explanations.explain_prediction(
            make_prediction(alice, model_version=prediction.model_version)
        )
    with pytest.raises(QuotaReached):
        explanations.render_heatmap(prediction, EVIDENCE[:, :, 0])


def test_every_door_for_programs_counts():
    caller = make_caller()
    project, _tags, _iteration = make_published(make_caller(), name="live")
    for ask, path in [
        (caller.prediction, f"{project.uuid}/classify/iterations/live/image"),
        (caller.prediction, f"{project.uuid}/classify/iterations/live/image/nostore"),
        (caller.training, f"projects/{project.uuid}/quicktest/image"),
        (caller.training, f"projects/{project.uuid}/images"),
    ]:
        DailyUploads.objects.all().delete()
        assert ask("POST", path, dear()).status_code == 200, path
        refusal = ask("POST", path, make_picture_bytes())
        assert refusal.status_code == 429 and int(refusal["Retry-After"]) > 0, path


def test_work_alone_is_no_picture(alice):
    quotas.count_work(alice, megapixels=3)
    meter = DailyUploads.objects.get()
    assert (meter.pictures, meter.in_window, meter.megapixels, meter.megapixels_in_window) == (
        0,
        0,
        3,
        3,
    )

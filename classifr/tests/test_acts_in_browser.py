"""How many acts a task takes: each click, key, choice of files or filled field counts as one.

The other tasks are where their pages are tested: eighteen wrong answers in
`predictions/tests/test_pages_in_browser.py`, a hundred alike samples in
`review/tests/test_alike_browser.py`. bench/README.md has the table.
"""

import io

import numpy as np
import pytest
from PIL import Image

from predictions.models import Feedback, Prediction
from predictions.tests.factories import (
    PASSWORD,
    make_live_model,
    make_picture_bytes,
    make_project,
    make_user,
)

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]


class Acts:
    """A page that counts what its user does."""

    def __init__(self, page):
        self.page = page
        self.count = 0

    def __getattr__(self, name):
        def act(*arguments):
            self.count += 1
            return getattr(self.page, name)(*arguments)

        return act


@pytest.fixture
def dishes():
    return make_live_model(make_project("Dishes", slug="dishes")).project


def test_from_the_log_in_to_the_first_nok_with_a_name_in_nine_acts(page, dishes):
    user = make_user(username="alice")
    page.goto("/account/login/")
    acts = Acts(page)
    acts.fill("[name=login]", user.username)
    acts.fill("[name=password]", PASSWORD)
    acts.press("[name=password]", "Enter")
    acts.click("text=Classify pictures")
    picture = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": make_picture_bytes()}
    acts.set_input_files("#file", picture)
    page.wait_for_selector("[data-previews] img")
    acts.click("#classify")
    page.wait_for_selector("#result meter")
    acts.press("body", "n")
    page.wait_for_selector("#result input[name=category]:focus")
    acts.fill("#result input[name=category]", "pizza")
    acts.press("#result input[name=category]", "Enter")
    page.wait_for_selector("#result strong:has-text('pizza')")
    assert acts.count == 9
    assert Feedback.objects.get().suggestion == "pizza"


def test_a_photo_of_a_phone_of_seven_megabytes_in_two_acts(page, sign_in, dishes):
    noise = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), dtype=np.uint8)
    photo = io.BytesIO()
    Image.fromarray(noise).save(photo, "JPEG", quality=76)
    assert 7_000_000 < len(photo.getvalue()) < 8_000_000
    sign_in(page, make_user())
    page.goto(dishes.get_absolute_url())
    acts = Acts(page)
    file = {"name": "phone.jpg", "mimeType": "image/jpeg", "buffer": photo.getvalue()}
    acts.set_input_files("#file", file)
    page.wait_for_selector("text=reduced from")
    acts.click("#classify")
    page.wait_for_selector("#result meter")
    assert acts.count == 2
    sample = Prediction.objects.get().sample
    assert (sample.width, sample.height) == (2048, 1536)

"""The pages as people use them: in Chromium, by button and by dropping, on a phone, scriptless."""

import base64

import numpy as np
import pytest

from common import jobs, tasks
from predictions.models import Feedback, Prediction
from predictions.predictors.dummy import DummyPredictor
from predictions.tests.factories import (
    make_live_model,
    make_picture_bytes,
    make_prediction,
    make_project,
    make_user,
)
from scripts.services import wait_until

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]

HAND_OVER = """([type, data]) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], "handed over.jpg", {type: "image/jpeg"}));
    const options = {bubbles: true, cancelable: true};
    const event = type === "drop" ? new DragEvent("drop", {...options, dataTransfer: transfer})
                                  : new ClipboardEvent("paste", {...options, clipboardData: transfer});
    document.querySelector("[data-drop]").dispatchEvent(event);
}"""  # noqa: E501


@pytest.fixture
def dishes():
    return make_live_model(make_project("Dishes", slug="dishes")).project


def picture(name: str = "dinner.jpg", data: bytes | None = None) -> dict:
    return {
        "name": name,
        "mimeType": "image/jpeg",
        "buffer": data or make_picture_bytes(size=(640, 480)),
    }


def test_a_picture_is_answered_and_called_wrong_without_leaving_the_page(
    page, sign_in, assert_accessible, dishes
):
    sign_in(page, make_user())
    page.goto(dishes.get_absolute_url())
    page.set_input_files("#file", picture())
    page.wait_for_selector("[data-previews] img")
    page.click("#classify")
    page.wait_for_selector("#result meter")
    assert_accessible(page)
    page.click("#result button[value=NOK]")
    page.fill("#result input[name=category]", "pizza")
    page.press("#result input[name=category]", "Enter")
    page.wait_for_selector("#result strong:has-text('pizza')")
    assert page.url.endswith(dishes.get_absolute_url())
    assert Feedback.objects.get().suggestion == "pizza"
    assert_accessible(page)


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_picture_can_be_dropped_or_pasted(page, sign_in, dishes, how):
    sign_in(page, make_user())
    page.goto(dishes.get_absolute_url())
    page.evaluate(HAND_OVER, [how, base64.b64encode(make_picture_bytes()).decode()])
    page.click("#classify")
    page.wait_for_selector("#result meter")
    assert Prediction.objects.get().shown_name == "handed over.jpg"


def test_a_refusal_stands_beside_the_form_and_the_next_picture_works(
    page, sign_in, problems, dishes
):
    sign_in(page, make_user())
    page.goto(dishes.get_absolute_url())
    page.set_input_files("#file", picture("letter.jpg", b"no picture"))
    page.click("#classify")
    page.wait_for_selector("#result [role=alert]:has-text('Accepted formats')")
    page.set_input_files("#file", picture())
    page.click("#classify")
    page.wait_for_selector("#result meter")
    problems.expect()  # the browser's own line about the 400


def test_what_is_too_large_is_told_before_it_is_sent(page, sign_in, settings, dishes):
    settings.UPLOAD_MAX_BYTES = 1000
    sign_in(page, make_user())
    page.goto(dishes.get_absolute_url())
    page.set_input_files("#file", picture())
    page.wait_for_selector("#result [role=alert]:has-text('too large')")
    assert page.is_disabled("#classify")


def test_several_pictures_are_answered_on_a_page_that_follows_the_work(
    page, sign_in, assert_accessible, dishes
):
    tasks.autodiscover()
    sign_in(page, make_user())
    page.goto(dishes.get_absolute_url())
    page.set_input_files("#file", [picture(f"{number}.jpg") for number in range(3)])
    page.click("#classify")
    page.wait_for_selector("text=0 of 3 done")
    jobs.run_due_jobs()
    page.wait_for_selector("text=3 of 3 done")
    page.click("#batch li:first-child button[value=OK]")
    page.wait_for_selector("#batch li:first-child strong:has-text('OK')")
    assert_accessible(page)


def test_on_a_phone_nothing_is_wider_than_the_screen(new_page, live_server, sign_in, dishes):
    page = new_page(live_server.url, viewport={"width": 360, "height": 740})
    user = make_user()
    sign_in(page, user)
    page.goto(dishes.get_absolute_url())
    page.set_input_files("#file", picture("a" * 120 + ".jpg"))
    page.click("#classify")
    page.wait_for_selector("#result meter")
    for address in (
        "",
        Prediction.objects.get().get_absolute_url(),
        "/predictions/",
        "/",
        "/api/v1/schema/ui/",
    ):
        if address:
            page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address


def test_everything_works_without_script(new_page, live_server, sign_in, dishes):
    page = new_page(live_server.url, java_script_enabled=False)
    sign_in(page, make_user())
    page.goto(dishes.get_absolute_url())
    page.set_input_files("#file", picture())
    page.click("#classify")
    page.click("button[value=NOK]")
    page.fill("input[name=category]", "pizza")
    page.click("button:has-text('Save')")
    page.wait_for_selector("strong:has-text('pizza')")


@pytest.mark.parametrize("width", [360, 1100])
def test_what_spoke_for_an_answer_is_shown_by_keyboard(
    page, sign_in, assert_accessible, dishes, monkeypatch, width
):
    def explain(self, picture, model):
        evidence = np.zeros((9, 9, 3))
        evidence[8, 8] = 1
        return evidence

    monkeypatch.setattr(DummyPredictor, "explain", explain)
    prediction = make_prediction(project=dishes)
    sign_in(page, prediction.user)
    page.set_viewport_size({"width": width, "height": 720})
    page.goto(prediction.get_absolute_url())
    page.focus("#explanation button")
    page.keyboard.press("Enter")
    picture = page.wait_for_selector("#explanation figure img")
    assert "mostly at the bottom right" in picture.get_attribute("alt")
    width_of_heat = "document.querySelector('#explanation figure img').naturalWidth"
    wait_until(lambda: page.evaluate(width_of_heat) > 0, "the heat map")
    assert page.evaluate("document.activeElement.parentElement.tagName") == "FIGCAPTION"
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert_accessible(page)

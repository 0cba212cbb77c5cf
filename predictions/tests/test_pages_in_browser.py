"""The pages as people use them: in Chromium, by button and by dropping, on a phone, scriptless."""

import base64
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from common import jobs, tasks
from predictions import batches
from predictions.models import BatchItem, Feedback, Prediction
from predictions.predictors.dummy import DummyPredictor
from predictions.tests.factories import (
    make_live_model,
    make_picture_bytes,
    make_prediction,
    make_project,
    make_upload,
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
    document.querySelector("h1").dispatchEvent(event);
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


def test_eighteen_pictures_are_called_pizza_in_five_acts(page, sign_in, assert_accessible, dishes):
    tasks.autodiscover()
    sign_in(page, make_user())
    page.goto(dishes.get_absolute_url())
    page.set_input_files(
        "#file",
        [picture(f"{n}.jpg", make_picture_bytes(size=(640, 480 + n))) for n in range(18)],
    )
    page.wait_for_selector("text=18 pictures chosen")
    page.click("#classify")
    page.wait_for_url("**/batches/**")
    jobs.run_due_jobs()
    page.wait_for_selector("[data-send]:has-text('Send 18 OK')")
    assert_accessible(page)
    page.keyboard.press("a")
    page.fill("#batch-category", "pizza")
    page.wait_for_selector("[data-send]:has-text('Send 18 NOK as pizza, 0 OK')")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=18 NOK and 0 OK sent.")
    assert Feedback.objects.filter(verdict="NOK", suggestion="pizza").count() == 18
    assert_accessible(page)


def test_wrong_ones_are_ticked_by_shift_and_by_arrow_keys(page, sign_in, dishes):
    tasks.autodiscover()
    user = make_user()
    batch = batches.start_batch(dishes, by=user)
    for number in range(6):
        data = make_picture_bytes(size=(64, 48 + number))
        batches.add_to_batch(batch, make_upload(data, name=f"{number}.jpg"), key=str(number))
    jobs.run_due_jobs()
    sign_in(page, user)
    page.goto(batch.get_absolute_url())
    boxes = page.locator(".pick input[type=checkbox]")
    boxes.nth(0).click()
    boxes.nth(2).click(modifiers=["Shift"])
    page.wait_for_selector("[data-send]:has-text('Send 3 NOK, 3 OK')")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.wait_for_selector("[data-send]:has-text('Send 4 NOK, 2 OK')")
    page.keyboard.press("Escape")
    page.wait_for_selector("[data-send]:has-text('Send 6 OK')")


def test_the_files_of_a_zip_are_a_batch(page, sign_in, dishes):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(3):
            file.writestr(f"cats/{number}.jpg", make_picture_bytes(size=(64, 48 + number)))
        file.writestr("__MACOSX/._0.jpg", b"nothing")
    sign_in(page, make_user())
    page.goto(dishes.get_absolute_url())
    page.set_input_files(
        "#file", {"name": "a.zip", "mimeType": "application/zip", "buffer": archive.getvalue()}
    )
    page.wait_for_selector("text=3 pictures chosen")
    page.click("#classify")
    page.wait_for_url("**/batches/**")
    assert list(BatchItem.objects.values_list("shown_name", flat=True).order_by("shown_name")) == [
        "0.jpg",
        "1.jpg",
        "2.jpg",
    ]


def test_what_is_no_zip_is_told(page, sign_in, dishes):
    sign_in(page, make_user())
    page.goto(dishes.get_absolute_url())
    page.set_input_files(
        "#file", {"name": "a.zip", "mimeType": "application/zip", "buffer": b"no archive"}
    )
    page.wait_for_selector("#result [role=alert]:has-text('a.zip cannot be opened')")


def test_a_large_photo_is_reduced_upright_and_keeps_its_camera(page, sign_in, settings, dishes):
    settings.UPLOAD_REDUCE_ABOVE_BYTES = 100_000
    exif = Image.Exif()
    exif[0x0112], exif[0x0110] = 6, "Pocket camera"  # on its side
    noise = np.random.default_rng(0).integers(0, 256, (600, 2400, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", exif=exif, quality=90)
    sign_in(page, make_user())
    page.goto(dishes.get_absolute_url())
    page.set_input_files("#file", picture("phone.jpg", file.getvalue()))
    page.wait_for_selector("text=reduced from")
    page.click("#classify")
    page.wait_for_selector("#result meter")
    sample = Prediction.objects.get().sample
    assert (sample.width, sample.height) == (512, 2048)
    assert sample.size_bytes < len(file.getvalue())
    assert "Pocket camera" in sample.conditions.values_list("value", flat=True)


def test_files_that_did_not_get_through_are_sent_again(page, sign_in, problems, dishes):
    sign_in(page, make_user())
    page.goto(dishes.get_absolute_url())
    broken = ["1.jpg"]

    def fail_once(route):
        name = next((each for each in broken if each in (route.request.post_data or "")), None)
        if name is None:
            return route.fallback()
        broken.remove(name)
        return route.abort("connectionreset")

    page.route("**/files/", fail_once)
    files = [picture(f"{n}.jpg", make_picture_bytes(size=(64, 48 + n))) for n in range(3)]
    page.set_input_files("#file", files)
    page.click("#classify")
    page.wait_for_selector("text=1 files could not be sent")
    assert BatchItem.objects.count() == 2
    page.click("[data-all-again]")
    page.wait_for_url("**/batches/**")
    assert BatchItem.objects.count() == 3
    problems.expect()  # the connection that broke


def test_the_category_is_asked_for_after_a_nok_and_the_existing_names_come_first(
    page, sign_in, dishes
):
    sign_in(page, make_user())
    page.goto(dishes.get_absolute_url())
    page.set_input_files("#file", picture())
    page.wait_for_selector("[data-previews] img")
    page.click("#classify")
    page.wait_for_selector("#result meter")
    page.keyboard.press("n")
    page.wait_for_selector("#result .choices")
    page.wait_for_selector("#result input[name=category]:focus")
    known = page.locator("#result .choices button .ellipsis").all_inner_texts()
    assert known == list(dishes.categories.values_list("name", flat=True))
    wrong = Prediction.objects.get().top.name
    page.click(f"#result .choices button:not(:has-text('{wrong}')) >> nth=0")
    page.wait_for_selector("text=You say it is")
    assert Feedback.objects.get().category.name != wrong


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

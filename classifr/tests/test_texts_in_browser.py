"""The loop of texts as people use it, in Chromium: by keyboard, on a phone, in the dark."""

import pytest

from classifr import demo
from common import tasks
from predictions.models import Feedback, Project
from predictions.tests.factories import make_user
from training.runs import execution, submission

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def guests() -> Project:
    """A project of texts whose live model has learned the demo's sentences."""
    tasks.autodiscover()
    project = demo.make_text_project()
    options = submission.RunOptions(promote=True)
    execution.execute_run(submission.submit_run(project, options, by=None))
    return project


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_text_is_answered_explained_and_decided(page, sign_in, assert_accessible, guests, scheme):
    page.emulate_media(color_scheme=scheme)
    sign_in(page, make_user())
    page.goto(guests.get_absolute_url())
    page.fill("#text", "The fish was cold & the waiter <b>rude</b>.")
    page.keyboard.press("Tab")
    page.click("#classify")
    page.wait_for_selector("#result .verdict")
    assert "complaint" in page.inner_text("#result")
    assert_accessible(page)

    page.click("#result a:has-text('Link to this prediction')")
    assert "<b>rude</b>" in page.inner_text(".sample-text")
    page.click("button:has-text('Explain')")
    page.wait_for_selector("mark.said")
    assert "rude" in page.inner_text("#explanation ol")
    assert_accessible(page)

    page.click("button[value=NOK]")
    page.wait_for_selector(".verdict :text('Your answer')")
    assert Feedback.objects.get().verdict == "NOK"
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/predictions/")
    assert "<b>rude</b>" in page.inner_text(".text-preview")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert_accessible(page)

    sign_in(page, make_user("reviewer"))
    page.goto("/review/")
    assert "<b>rude</b>" in page.inner_text(".sample-text")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert_accessible(page)
    page.keyboard.press(guests.categories.get(name="complaint").key)
    page.wait_for_selector(":text('Labelled as complaint')", state="attached")

    sign_in(page, make_user("maintainer"))
    page.goto(f"/training/{guests.slug}/categories/")
    assert page.locator(".training-texts li").count() > 3
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert_accessible(page)

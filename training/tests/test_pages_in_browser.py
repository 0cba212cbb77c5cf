"""The pages of a run and of the shadow with figures on them, in a real browser: readable, and
wholly by keyboard.
"""

import pytest
from django.urls import reverse

from predictions import registry, shadow_deployment
from predictions.models import ShadowPrediction
from predictions.tests.factories import (
    make_feedback,
    make_model_version,
    make_prediction,
    make_project,
    make_user,
)
from training.models import TrainingRun
from training.tests.factories import make_trainable, make_trained

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]

PROPOSAL = {
    "wanted": 0.9,
    "threshold": 0.5,
    "validation": {"count": 20, "kept": 18, "right": 17},
    "test": {"count": 20, "kept": 18, "right": 17},
}
LONG = "a category whose name leaves a phone no room"


@pytest.fixture
def live():
    version = make_trained(make_trainable())
    registry.promote_version(version, by=None)
    TrainingRun.objects.update(
        abstaining=[PROPOSAL], curves={LONG: [0.123456, 0.5], f"validation_{LONG}": [0.654321, 0.4]}
    )
    return version


@pytest.fixture
def candidate(live):
    """A model in shadow of the live one, which differs from it on a picture and is silent about
    another.
    """
    version = make_model_version(live.project, live.class_names)
    shadow_deployment.start_shadow(version, by=None)
    dark, light = live.class_names
    for said in (dark, light):
        prediction = make_prediction(project=live.project)
        answer = {
            "top": live.project.categories.get(name=said),
            "confidence": 0.9,
            "agrees": prediction.top.name == said,
        }
        ShadowPrediction.objects.create(
            prediction=prediction,
            model_version=version,
            scores={said: 0.9},
            latency_ms=5.0,
            **answer,
        )
        make_feedback(prediction, "OK")
    silent = make_prediction(project=live.project)
    ShadowPrediction.objects.create(
        prediction=silent, model_version=version, error="Too many requests."
    )
    return version


@pytest.mark.parametrize(("locale", "width"), [("en", 1280), ("fr", 360)])
def test_figures_fit_and_are_accessible(
    live, candidate, live_server, new_page, sign_in, assert_accessible, problems, locale, width
):
    page = new_page(live_server.url, locale=locale, viewport={"width": width, "height": 800})
    sign_in(page, make_user("maintainer"))
    slug = live.project.slug
    for address, mark in [
        (reverse("training:run", args=[live.run.pk]), ".training-thresholds"),
        (reverse("training:shadow", args=[slug]), ".training-matrix"),
        (reverse("training:models", args=[slug]), "table"),
    ]:
        page.goto(address)
        page.locator(mark).first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        assert_accessible(page)
    assert problems == []


def test_a_shadow_is_started_and_stopped_by_keyboard(live, live_server, page, sign_in):
    make_model_version(live.project, live.class_names)
    sign_in(page, make_user("maintainer"))
    page.goto(reverse("training:shadow", args=[live.project.slug]))
    page.get_by_role("button", name="Run version 2 in shadow").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Version 2 (dummy) runs in shadow.").wait_for()
    page.get_by_role("button", name="Stop the shadow").focus()
    page.keyboard.press("Space")
    page.get_by_text("No model runs in shadow.").wait_for()


@pytest.mark.parametrize(("locale", "width"), [("en", 1280), ("ja", 360)])
def test_known_categories_are_found_and_chosen_by_keyboard(
    live_server, new_page, sign_in, assert_accessible, problems, locale, width
):
    project = make_project(trainer="dummy")
    page = new_page(live_server.url, locale=locale, viewport={"width": width, "height": 800})
    sign_in(page, make_user("maintainer"))
    page.goto(live_server.url + reverse("training:known", args=[project.slug]))
    page.locator("#known-search").focus()
    for name in ("espresso", "pizza"):
        page.keyboard.press("Control+a")
        page.keyboard.type(name)
        row = page.locator(f'.training-known-row:visible:has-text("{name}")').last
        row.locator("input").focus()
        page.keyboard.press("Space")
        page.locator("#known-search").focus()
    assert "2" in page.locator("[data-count]").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert_accessible(page)
    page.locator("#id_name").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(live_server.url + reverse("training:categories", args=[project.slug]))
    assert project.categories.count() == 2
    assert problems == []

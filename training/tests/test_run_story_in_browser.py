"""The story of a finished run and the page of the versions, in a real browser."""

import pytest
from django.urls import reverse

from predictions import registry
from predictions.tests.factories import make_model_version, make_user
from training.models import TrainingRun
from training.tests.factories import make_finished_run, make_labelled, make_trainable

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def run() -> TrainingRun:
    """A run whose model newly knows a category, beside a live one that has it all wrong."""
    project = make_trainable()
    registry.promote_version(make_model_version(project, ("light", "dark")), by=None)
    make_labelled(project, "zebra", colour="white", test=4)
    return make_finished_run(project, promote=True)


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)]
)
def test_the_story_fits_and_is_accessible(
    run, live_server, new_page, sign_in, assert_accessible, problems, scheme, width
):
    page = new_page(live_server.url, color_scheme=scheme, viewport={"width": width, "height": 844})
    sign_in(page, make_user("maintainer"))
    for address in (
        reverse("training:run", args=[run.pk]),
        reverse("training:models", args=[run.project.slug]),
        reverse("training:promote", args=[run.model_version_id]),
    ):
        page.goto(address)
        page.locator(".panel").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        assert_accessible(page)
    assert problems == []


def test_without_a_script_the_tabs_and_the_kinds_of_mistakes_lead_somewhere(
    run, live_server, new_page, sign_in
):
    page = new_page(live_server.url, java_script_enabled=False)
    sign_in(page, make_user("maintainer"))
    page.goto(reverse("training:run", args=[run.pk]))
    for link in page.locator("nav.tabs a").all():
        target = link.get_attribute("href")
        assert page.locator(target).count() == 1, target
    page.get_by_role("link", name="Fixed").click()
    assert page.url.endswith("?mistakes=fixed#mistakes")
    assert page.locator(".duel li").count() > 0


def test_only_who_trains_sees_it(run, live_server, new_page, sign_in, problems):
    page = new_page(live_server.url)
    problems.expect()
    sign_in(page, make_user("reviewer"))
    assert page.goto(reverse("training:run", args=[run.pk])).status == 403

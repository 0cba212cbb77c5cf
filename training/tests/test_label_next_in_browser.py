"""Labelling what is proposed in a real browser, by keyboard only, also on a phone."""

import pytest
from playwright.sync_api import expect

from accounts import roles
from accounts.tests.factories import make_maintainer
from predictions.models import Sample
from predictions.tests.factories import make_project, make_sample
from review.models import Decision
from training.models import PoolRanking, Proposal, TrainingRun
from training.tests.factories import make_finished_run

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]

OUTLOOK = {
    "labels": [10, 20, 40],
    "accuracy": [0.61, 0.7, 0.78],
    "forecast": [0.79, 0.84],
    "gains": {"10": [0.011, -0.01, 0.03], "50": [0.06, 0.01, 0.1]},
    "categories": [
        {
            "name": "a category whose name leaves a phone no room",
            "labels": 12,
            "recall": 0.6,
            "gains": {"10": [0.02, 0.0, 0.04], "50": [0.08, 0.01, 0.12]},
        }
    ],
}


@pytest.fixture
def project():
    from django.apps import apps

    roles.sync_role_groups(sender=apps.get_app_config("accounts"))
    project = make_project(categories=["gnocchi", "risotto"])
    ranking = PoolRanking.objects.create(project=project, pool=4)
    for place in range(4):
        sample = make_sample(project, origin=Sample.Origin.IMPORT)
        Proposal.objects.create(ranking=ranking, sample=sample, place=place, is_drawn=place == 2)
    return project


def press(page, key: str, announced: str) -> None:
    page.keyboard.press(key)
    page.get_by_role("status").filter(has_text=announced).wait_for()
    expect(page.locator(".htmx-request, .htmx-swapping, .htmx-settling")).to_have_count(0)


def test_one_after_the_other_and_several_at_once_are_labelled_by_keyboard(
    page, sign_in, project, assert_accessible
):
    sign_in(page, make_maintainer())
    page.goto(f"/training/{project.slug}/label/")
    assert_accessible(page)
    press(page, "1", "1 picture labelled as gnocchi.")
    press(page, "u", "1 decision undone.")
    press(page, "2", "1 picture labelled as risotto.")
    # The first is chosen; the next two as well
    page.locator("[name=sample]").nth(1).press("Space")
    page.locator("[name=sample]").nth(2).press("Space")
    press(page, "1", "3 pictures labelled as gnocchi.")
    assert Decision.objects.in_force().filter(category__name="gnocchi").count() == 3
    page.get_by_text("Everything that was proposed has a label").wait_for()
    assert_accessible(page)


@pytest.mark.parametrize("locale", ["fr", "ja"])
def test_it_fits_a_phone_with_the_outlook_of_a_run(
    new_page, live_server, sign_in, project, assert_accessible, locale
):
    run = make_finished_run()
    TrainingRun.objects.update(outlook=OUTLOOK)
    page = new_page(live_server.url, locale=locale, viewport={"width": 360, "height": 740})
    sign_in(page, make_maintainer())
    for address in (f"/training/{project.slug}/label/", f"/training/runs/{run.pk}/"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert_accessible(page)

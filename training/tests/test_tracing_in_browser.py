"""Comparisons, sweeps and provenance with something on them, in a real browser."""

import pytest
from django.urls import reverse

from common import jobs
from predictions.tests.factories import make_prediction, make_user
from training import tasks  # noqa: F401 (defines the task)
from training.runs import sweeps
from training.tests.factories import label, make_finished_run, make_trainable

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def two_runs():
    """Two runs, between which a test picture and a training picture were relabelled."""
    project = make_trainable()
    first = make_finished_run(project)
    for split in ("train", "test"):
        item = first.dataset.items.filter(split=split, category__name="dark").first()
        label(item.sample, project.categories.get(name="light"))
    return first, make_finished_run(project, seed=1)


@pytest.mark.parametrize(("locale", "width"), [("en", 1280), ("fr", 360)])
def test_the_pages_fit_and_are_accessible(
    two_runs, live_server, new_page, sign_in, assert_accessible, problems, locale, width
):
    first, second = two_runs
    prediction = make_prediction(model_version=first.model_version)
    relabelled = first.dataset.items.filter(split="train", category__name="dark").first().sample
    sweep = sweeps.submit_sweep(first.project, sweeps.SweepOptions(seeds=(0, 1)))
    page = new_page(live_server.url, locale=locale, viewport={"width": width, "height": 800})
    sign_in(page, make_user("maintainer"))
    slug = first.project.slug
    for address, mark in [
        (reverse("training:difference", args=[slug]) + "?kind=relabelled", ".list-group-item"),
        (
            reverse("training:compare", args=[slug])
            + f"?run={first.pk}&run={second.pk}&kind=broke",
            ".list-group-item",
        ),
        (reverse("training:sample_uses", args=[relabelled.uuid]), ".list-group-item"),
        (reverse("training:overruled", args=[first.dataset_id]), ".list-group-item"),
        (reverse("training:sweep", args=[sweep.pk]), "table"),
        (reverse("training:project", args=[slug]), "[name=run]"),
    ]:
        page.goto(address)
        page.locator(mark).first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        assert_accessible(page)
    # While a worker searches the nearest, the page asks again by itself
    page.goto(reverse("training:origin", args=[prediction.uuid]))
    assert page.locator("#nearest li").count() == 0
    jobs.run_due_jobs("analysis")
    page.locator("#nearest li").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert_accessible(page)
    assert problems == []


def test_two_runs_are_compared_by_keyboard(two_runs, live_server, page, sign_in):
    first, second = two_runs
    sign_in(page, make_user("maintainer"))
    page.goto(reverse("training:project", args=[first.project.slug]))
    for run in two_runs:
        page.get_by_role("checkbox", name=f"Compare run {run.number}").focus()
        page.keyboard.press("Space")
    page.get_by_role("button", name="Compare two runs").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=f"Runs {first.number} and {second.number}").wait_for()

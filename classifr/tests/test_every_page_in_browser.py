"""Every page in a real browser, on a phone and a screen, light and dark, in each language: nothing
is wrong.

The pages are those that the access matrix lets somebody see, so a new one is looked at from its
first day on.
"""

import pytest
from django.test import Client
from django.urls import reverse

from classifr.tests.access_matrix import ROWS, VISITORS
from classifr.tests.access_world import make_world
from notifications.models import Kind
from notifications.notifying import notify
from predictions.models import Feedback
from predictions.tests.factories import make_feedback, make_prediction
from review.models import SecondOpinion
from review.tests.factories import make_decision
from training.models import (
    DatasetVersion,
    DoubtfulLabel,
    DriftMeasure,
    DriftReport,
    LabelCheck,
    NearDuplicate,
)

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]

PHONE, SCREEN = {"width": 360, "height": 740}, {"width": 1280, "height": 900}


@pytest.fixture
def world():
    world = make_world()
    make_feedback(make_prediction(world.other, model_version=world.version), Feedback.Verdict.NOK)
    put_labels_in_question(world)
    let_it_drift(world)
    notify([world.maintainer], Kind.RUN_DONE, "run_done", key="run", url="/", params={"number": 1})
    return world


def let_it_drift(world):
    """Let there be a report of drift in each state, one of them of a capture condition."""
    promotion = world.project.promotions.get()
    found = {"index": 0.5, "threshold": 0.25, "before": 0.9, "now": 0.7, "history": [0.1, 0.5]}
    for measure, state, where, figures in (
        (DriftMeasure.OK_RATE, "too_few", ("", ""), {}),
        (DriftMeasure.SCORES, "steady", ("", ""), found),
        (DriftMeasure.SCORES, "drifting", ("line", "an unusually long name of a line"), found),
    ):
        DriftReport.objects.create(
            project=world.project,
            promotion=promotion,
            measure=measure,
            state=state,
            condition=where[0],
            value=where[1],
            since=promotion.created_at,
            reference_count=300,
            recent_count=10,
            shares={"before": [0.1] * 10, "now": [0.05] * 5 + [0.15] * 5} if figures else {},
            measured_at=promotion.created_at,
            **figures,
        )


def put_labels_in_question(world):
    """Let two samples be near duplicates with different labels, one doubted, one seconded."""
    categories = world.project.categories.order_by("name")[:2]
    answers = [make_prediction(world.user, model_version=world.version) for _number in range(2)]
    first, second = [
        make_decision(each.sample, category, by=world.reviewer, prediction=each)
        for each, category in zip(answers, categories, strict=True)
    ]
    NearDuplicate.objects.create(
        first=first.sample, second=second.sample, by=NearDuplicate.By.HASHES, similarity=0.95
    )
    dataset = DatasetVersion.objects.create(project=world.project, number=1, digest="d")
    DoubtfulLabel.objects.create(
        label_check=LabelCheck.objects.create(dataset=dataset, checked=2),
        sample=first.sample,
        decision=first,
        suggested=categories[1],
        quality=0.1,
        probability=0.8,
        nearest_as_suggested=second.sample,
    )
    SecondOpinion.objects.create(
        decision=first, outcome="labelled", category=categories[1], reviewer=world.maintainer
    )


def pages(world):
    """Yield the address of every HTML page, with the visitor of most rights who may see it."""
    for name, rows in ROWS.items():
        for row in rows:
            visitors = [
                visitor
                for visitor, answer in zip(VISITORS, row.answers, strict=True)
                if answer == 200
            ]
            if row.method != "GET" or not visitors:
                continue
            visitor = visitors[0] if visitors[0] == "anonymous" else visitors[-1]
            address = reverse(name, kwargs=row.kwargs(world))
            client = Client()
            if visitor != "anonymous":
                client.force_login(getattr(world, visitor))
            response = client.get(address)
            whole = b"<html" in response.content if not response.streaming else False
            if whole and response["Content-Type"].startswith("text/html"):
                yield address, visitor


@pytest.mark.parametrize(
    ("locale", "viewport", "theme"),
    [
        ("en", SCREEN, "light"),
        ("en", SCREEN, "dark"),
        ("fr", PHONE, "light"),
        ("ja", PHONE, "dark"),
    ],
)
def test_it_fits_is_accessible_and_asks_no_stranger(
    world, live_server, new_page, sign_in, assert_accessible, problems, locale, viewport, theme
):
    seen, findings = 0, []
    opened = {
        visitor: new_page(live_server.url, locale=locale, viewport=viewport, color_scheme=theme)
        for visitor in VISITORS
    }
    for visitor in VISITORS[1:]:
        sign_in(opened[visitor], getattr(world, visitor))
    for address, visitor in pages(world):
        page = opened[visitor]
        page.goto(address)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > viewport["width"]:
            findings.append(f"{address} is {width} px wide")
        if page.evaluate("document.documentElement.lang") != locale:
            findings.append(f"{address} does not say that it is in {locale}")
        try:
            assert_accessible(page)
        except AssertionError as error:
            findings.append(f"{address}: {error}")
        seen += 1
    assert not findings, "\n".join(findings)
    assert problems == []
    assert seen > 20

"""Figures by day: counted from the rows, whenever they are asked for."""

from datetime import timedelta

import pytest
from django.utils import timezone

from predictions import daily_figures
from predictions.models import DailyFigures, Feedback, Prediction
from predictions.tests.factories import make_feedback, make_prediction, make_project

pytestmark = pytest.mark.django_db

Verdict = Feedback.Verdict


@pytest.fixture
def project():
    return make_project()


def make_answer(project, days_ago: int = 0, verdict: str = "", **fields) -> Prediction:
    """Make an answer as it was given some days ago, with the verdict of that day."""
    when = timezone.now() - timedelta(days=days_ago)
    prediction = make_prediction(project=project, created_at=when, **fields)
    if verdict:
        make_feedback(prediction, verdict, created_at=when)
    return prediction


def test_today_is_counted_as_it_is_now(project):
    make_answer(project, verdict=Verdict.OK)
    make_answer(project, verdict=Verdict.NOK)
    make_answer(project, abstained=True, is_unfamiliar=True, familiarity=0.01)
    today = daily_figures.recent_figures(project, 1)[0]
    assert (today.predictions, today.ok, today.nok, today.unsure) == (3, 1, 1, 0)
    assert (today.abstained, today.unfamiliar) == (1, 1)
    assert not DailyFigures.objects.exists()


def test_what_other_projects_do_is_not_counted(project):
    make_answer(make_project(), verdict=Verdict.OK)
    assert daily_figures.recent_figures(project, 1)[0].predictions == 0


def test_the_chore_counts_every_day_once_it_is_over(project):
    make_answer(project, 3, Verdict.OK)
    assert daily_figures.count_days() == daily_figures.DAYS
    assert [day.ok for day in daily_figures.recent_figures(project, 5)] == [0, 1, 0, 0, 0]
    assert daily_figures.count_days() == 1, "only today goes on"


def test_a_verdict_counts_on_the_day_it_was_given(project):
    yesterday = make_answer(project, 1)
    make_feedback(yesterday, Verdict.NOK)
    daily_figures.count_days()
    before, today = daily_figures.recent_figures(project, 2)
    assert (before.predictions, before.nok) == (1, 0)
    assert (today.predictions, today.nok) == (0, 1)


def test_a_day_that_was_counted_before_its_end_is_counted_again(project):
    daily_figures.count_days()
    make_answer(project, 1, Verdict.OK)
    DailyFigures.objects.update(counted_at=timezone.now() - timedelta(days=1))
    daily_figures.count_days()
    assert daily_figures.recent_figures(project, 2)[0].ok == 1


def test_days_without_a_count_are_empty(project):
    make_answer(project, 2, Verdict.OK)
    assert [day.predictions for day in daily_figures.recent_figures(project, 3)] == [0, 0, 0]

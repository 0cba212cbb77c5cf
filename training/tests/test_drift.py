"""Drift: told when the last week is worse than the weeks before, and not by chance."""

from datetime import timedelta
from math import comb

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from predictions import daily_figures, registry
from predictions.models import DailyFigures, Project, Promotion
from predictions.tests.factories import make_live_model, make_project
from review.models import Decision
from training.models import TrainingPolicy, TrainingRun
from training.runs import drift, retraining
from training.runs.drift import Sign
from training.tests.factories import make_finished_run, make_labelled, make_trainable


@pytest.fixture
def project(db) -> Project:
    project = make_project()
    make_live_model(project)
    live_since(project, 60)
    return project


def live_since(project: Project, days: int) -> None:
    since = timezone.now() - timedelta(days=days)
    Promotion.objects.filter(project=project).update(created_at=since)


def make_weeks(project: Project, *, before: dict[str, int], now: dict[str, int]) -> None:
    """Make figures of four weeks: each day of the last one is as `now`, of the others `before`."""
    today = timezone.localdate()
    nothing = dict.fromkeys(daily_figures.COUNTS, 0)
    for back in range(1, 28):
        figures = nothing | (now if back < drift.RECENT_DAYS else before)
        DailyFigures.objects.create(
            project=project,
            day=today - timedelta(days=back),
            counted_at=timezone.now(),
            **figures,
        )


class TestFinding:
    def test_an_ok_rate_that_fell_is_told(self, project):
        make_weeks(project, before={"ok": 19, "nok": 1}, now={"ok": 14, "nok": 6})
        found = drift.find_drift(project)
        assert found is not None and found.sign == Sign.OK_RATE
        assert (found.before, found.now) == (pytest.approx(0.95), pytest.approx(0.7))

    def test_more_unfamiliar_pictures_are_told(self, project):
        make_weeks(
            project,
            before={"predictions": 50, "unfamiliar": 1},
            now={"predictions": 50, "unfamiliar": 10},
        )
        found = drift.find_drift(project)
        assert found is not None and found.sign == Sign.UNFAMILIAR

    def test_a_difference_that_chance_explains_is_not(self, project):
        make_weeks(project, before={"ok": 9, "nok": 1}, now={"ok": 8, "nok": 2})
        assert drift.find_drift(project) is None

    def test_a_rate_that_rose_is_not(self, project):
        make_weeks(project, before={"ok": 14, "nok": 6}, now={"ok": 19, "nok": 1})
        assert drift.find_drift(project) is None

    def test_what_another_version_answered_does_not_count(self, project):
        make_weeks(project, before={"ok": 19, "nok": 1}, now={"ok": 14, "nok": 6})
        live_since(project, 5)
        assert drift.find_drift(project) is None

    def test_without_a_live_version_there_is_none(self, db):
        assert drift.find_drift(make_project()) is None


class TestFisher:
    @given(st.integers(0, 6), st.integers(0, 6), st.integers(1, 6), st.integers(1, 6))
    def test_it_is_the_share_of_all_arrangements(self, hits, other_hits, count, other_count):
        hits, other_hits = min(hits, count), min(other_hits, other_count)
        marked = hits + other_hits
        ways = sum(
            comb(count, mine) * comb(other_count, marked - mine)
            for mine in range(hits, min(count, marked) + 1)
            if 0 <= marked - mine <= other_count
        )
        expected = ways / comb(count + other_count, marked)
        assert drift.fisher_p_value(hits, count, other_hits, other_count) == pytest.approx(expected)


class TestRetraining:
    @pytest.fixture
    def drifting(self, db) -> Project:
        project = make_trainable()
        registry.promote_version(make_finished_run(project).model_version, by=None)
        live_since(project, 60)
        long_ago = timezone.now() - timedelta(days=8)
        project.runs.update(created_at=long_ago)
        Decision.objects.update(created_at=long_ago)
        make_weeks(project, before={"ok": 19, "nok": 1}, now={"ok": 14, "nok": 6})
        return project

    def test_a_drift_begins_a_run_where_there_are_new_labels(self, drifting):
        TrainingPolicy.objects.create(project=drifting, retrain_on_drift=True)
        assert retraining.retrain_where_due() == 0
        make_labelled(drifting, "dark", train=1, validation=0, test=0)
        assert retraining.retrain_where_due() == 1
        assert drifting.runs.first().trigger == TrainingRun.Trigger.DRIFT

    def test_not_again_within_a_week(self, drifting):
        TrainingPolicy.objects.create(project=drifting, retrain_on_drift=True)
        make_labelled(drifting, "dark", train=1, validation=0, test=0)
        drifting.runs.update(created_at=timezone.now() - timedelta(days=1))
        assert retraining.retrain_where_due() == 0

    def test_nor_where_nobody_wished_it(self, drifting):
        TrainingPolicy.objects.create(project=drifting)
        make_labelled(drifting, "dark", train=1, validation=0, test=0)
        assert retraining.retrain_where_due() == 0

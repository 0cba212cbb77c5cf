"""Drift: measured since the live version was promoted, told once, and over when it is over."""

from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from notifications.models import Kind, Notification
from predictions import registry
from predictions.models import CaptureCondition, Feedback, Prediction, Project, Promotion, Sample
from predictions.tests.factories import make_live_model, make_model_version, make_project, make_user
from review.models import Decision
from training.drift import reports, statistics
from training.drift.measurement import Shift
from training.models import DriftEpisode, DriftReport, TrainingPolicy, TrainingRun
from training.runs import retraining
from training.tests.factories import make_finished_run, make_labelled, make_trainable

State = DriftReport.State
OK, NOK = Feedback.Verdict.OK, Feedback.Verdict.NOK


@pytest.fixture
def project(db) -> Project:
    project = make_project()
    make_live_model(project)
    live_since(project)
    return project


def live_since(project: Project, days: int = 10) -> None:
    since = timezone.now() - timedelta(days=days)
    Promotion.objects.filter(project=project).update(created_at=since)


def send(
    project: Project, values, *, verdicts=(), condition: str = "", days_ago: float = 1
) -> None:
    """Have pictures answered, with these confidences, and verdicts on the first of them."""
    user, version = make_user(), registry.live_version(project)
    start = Sample.objects.count()
    samples = Sample.objects.bulk_create(
        Sample(project=project, sha256=f"{start + place:064x}", location="nowhere")
        for place in range(len(values))
    )
    if condition:
        CaptureCondition.objects.bulk_create(
            CaptureCondition(sample=sample, name="line", value=condition) for sample in samples
        )
    answers = Prediction.objects.bulk_create(
        Prediction(
            project=project,
            sample=sample,
            model_version=version,
            user=user,
            scores={},
            confidence=value,
            familiarity=value,
            latency_ms=1,
            created_at=timezone.now() - timedelta(days=days_ago),
        )
        for sample, value in zip(samples, values, strict=True)
    )
    Feedback.objects.bulk_create(
        Feedback(prediction=answer, user=user, verdict=OK if is_ok else NOK)
        for answer, is_ok in zip(answers, verdicts, strict=False)
    )


def uniform(count: int, low: float = 0.0, high: float = 1.0, seed: int = 0) -> list[float]:
    return np.random.default_rng(seed).uniform(low, high, count).tolist()


def verdicts(count: int, wrong_every: int) -> list[bool]:
    return [place % wrong_every != 0 for place in range(count)]


def state_of(project: Project, measure: str, **where) -> str:
    return DriftReport.objects.get(project=project, measure=measure, **where).state


class TestMeasuring:
    def test_with_few_answers_it_says_that_there_are_not_enough(self, project):
        send(project, uniform(50), verdicts=verdicts(50, 2))
        assert reports.measure_project(project) == []
        assert {each.state for each in DriftReport.objects.all()} == {State.TOO_FEW}

    def test_scores_that_moved_are_a_drift_and_those_that_did_not_are_none(self, project):
        send(project, uniform(300), days_ago=5)
        send(project, uniform(300, seed=1))
        assert reports.measure_project(project) == []
        assert state_of(project, "scores") == State.STEADY
        send(project, uniform(500, high=0.4, seed=2))
        found = {each.measure for each in reports.measure_project(project)}
        assert found == {"scores", "familiarity"}

    def test_the_night_after_the_first_day_is_not_compared_with_it(self, project):
        send(project, uniform(300), days_ago=2)
        send(project, uniform(300, seed=1), days_ago=1.2)
        send(project, uniform(400, high=0.4, seed=2), days_ago=0.5)
        assert reports.measure_project(project) == []
        assert state_of(project, "scores") == State.TOO_FEW
        send(project, uniform(400, high=0.4, seed=3), days_ago=0)
        assert reports.measure_project(project) != []

    def test_an_ok_rate_that_fell_is_a_drift(self, project):
        send(project, uniform(300), verdicts=verdicts(300, 10), days_ago=5)
        assert reports.measure_project(project) == []
        send(project, uniform(150, seed=1), verdicts=verdicts(150, 3))
        (episode,) = reports.measure_project(project)
        assert (episode.measure, episode.before) == ("ok_rate", pytest.approx(0.9, abs=0.02))
        assert episode.now == pytest.approx(0.66, abs=0.02)

    def test_a_drift_of_one_condition_is_found_there(self, project):
        for line in "ab":
            send(project, uniform(300), condition=line, days_ago=5)
        send(project, uniform(300, seed=1), condition="b")
        send(project, uniform(300, high=0.3, seed=2), condition="a")
        reports.measure_project(project)
        assert state_of(project, "scores", value="a") == State.DRIFTING
        assert state_of(project, "scores", value="b") == State.STEADY

    def test_without_a_live_version_nothing_is_measured(self, db):
        assert reports.measure_project(make_project()) == []

    def test_what_is_read_does_not_grow_with_what_there_is(
        self, project, django_assert_max_num_queries
    ):
        send(project, uniform(400), condition="a", days_ago=5)
        send(project, uniform(400), verdicts=verdicts(400, 10), condition="a")
        with django_assert_max_num_queries(60):
            reports.measure_project(project)


class TestEpisodes:
    @pytest.fixture
    def drifting(self, project) -> Project:
        send(project, uniform(400), days_ago=5)
        send(project, uniform(500, high=0.4, seed=2), days_ago=3)
        return project

    def test_maintainers_are_told_once_for_each_episode(self, drifting):
        anna, _ben = make_user("maintainer"), make_user("reviewer")
        for _hour in range(3):
            reports.measure_project(drifting)
        told = Notification.objects.filter(kind=Kind.DRIFT)
        assert sorted(told.values_list("user", "text")) == [
            (anna.pk, "drift_familiarity"),
            (anna.pk, "drift_scores"),
        ]

    def test_a_condition_that_shares_a_known_drift_is_not_told(self, project):
        make_user("maintainer")
        send(project, uniform(400), condition="a", days_ago=5)
        send(project, uniform(500, high=0.4, seed=2), condition="a")
        reports.measure_project(project)
        assert DriftEpisode.objects.filter(value="a", alarmed_at=None).count() == 2
        assert Notification.objects.count() == 2

    def test_it_is_over_when_answers_are_as_before_and_the_next_is_told_again(self, drifting):
        make_user("maintainer")
        reports.measure_project(drifting)
        send(drifting, uniform(600, seed=3))
        assert reports.measure_project(drifting) == []
        assert not DriftEpisode.objects.filter(ended_at=None).exists()
        send(drifting, uniform(500, high=0.4, seed=4), days_ago=0)
        reports.measure_project(drifting)
        assert Notification.objects.filter(text="drift_scores").count() == 2

    def test_a_drift_goes_on_until_it_is_clearly_over(self):
        measured = Shift(index=0.2, threshold=0.25, before=0.9, now=0.8)
        assert measured.is_drift(was_drifting=True)
        assert not measured.is_drift(was_drifting=False)

    def test_another_live_version_ends_it(self, drifting):
        reports.measure_project(drifting)
        registry.promote_version(make_model_version(drifting), by=None)
        assert not DriftEpisode.objects.present(drifting).exists()
        reports.measure_project(drifting)
        assert not DriftEpisode.objects.filter(ended_at=None).exists()
        assert state_of(drifting, "scores") == State.TOO_FEW

    def test_the_overview_shows_it_with_a_way_to_the_samples(self, client, project):
        for high in (1.0, 0.3):
            for line in "50% & more", "b":
                low = 0.0 if line == "b" else high - 0.3
                values = uniform(400, low, high if line != "b" else 1.0)
                send(project, values, condition=line, days_ago=5 if high == 1.0 else 1)
        reports.measure_project(project)
        client.force_login(make_user("reviewer"))
        page = client.get(f"/projects/{project.slug}/").content.decode()
        assert "Drifting" in page
        assert "condition=line%3A50%25+%26+more" in page

    def test_the_overview_of_a_new_project_has_no_such_panel(self, client, db):
        client.force_login(make_user("reviewer"))
        page = client.get(f"/projects/{make_project().slug}/").content.decode()
        assert 'id="drift"' not in page


class TestStatistics:
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
    def test_a_distribution_is_no_way_from_itself(self, values):
        shares = statistics.bin_shares(values, statistics.decile_edges(values))
        assert shares.sum() == pytest.approx(1) and (shares > 0).all()
        assert statistics.stability_index(shares, shares) == 0

    def test_values_that_are_all_equal_are_told_from_others(self):
        edges = statistics.decile_edges([1.0] * 200)
        expected, found = (statistics.bin_shares([v] * 200, edges) for v in (1.0, 0.5))
        assert statistics.stability_index(expected, found) > 5

    def test_few_values_have_to_differ_more(self):
        few, many = (statistics.index_threshold(10, n, n, 1) for n in (200, 2000))
        assert many == statistics.LARGE_INDEX < few

    def test_the_evidence_of_a_fall_fades_when_the_rate_recovers(self):
        fallen = verdicts(200, 2)
        risen = fallen + [True] * 200
        high, low = (statistics.fall_evidence(each, 0.85, 1e4) for each in (fallen, risen))
        assert high > 1e4 > 100 > low

    @given(st.floats(0.02, 0.98), st.integers(1, 6))
    def test_its_mean_grows_by_one_at_most_with_each_verdict(self, tolerated, count):
        """The promise of the method, by adding up all outcomes."""
        mean = 0.0
        for outcome in range(2**count):
            said = [bool(outcome >> place & 1) for place in range(count)]
            right = sum(said)
            chance = tolerated**right * (1 - tolerated) ** (count - right)
            mean += chance * statistics.fall_evidence(said, tolerated, 1e9)
        assert mean <= count * (1 + 1e-6)


class TestRetraining:
    @pytest.fixture
    def drifting(self, db) -> Project:
        project = make_trainable()
        registry.promote_version(make_finished_run(project).model_version, by=None)
        live_since(project)
        long_ago = timezone.now() - timedelta(days=8)
        project.runs.update(created_at=long_ago)
        Decision.objects.update(created_at=long_ago)
        send(project, uniform(400), days_ago=5)
        send(project, uniform(500, high=0.4, seed=2))
        reports.measure_project(project)
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

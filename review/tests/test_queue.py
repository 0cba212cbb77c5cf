from datetime import timedelta

import pytest
from django.utils import timezone

from predictions.models import Feedback, Prediction, Project, Sample
from predictions.tests.factories import (
    make_category,
    make_feedback,
    make_live_model,
    make_prediction,
    make_project,
)
from review import decisions, leases, low_water_mark, queue
from review.models import Decision, Lease, LowWaterMark
from review.queue import QueueFilters, Reason
from review.tests.factories import lease_next, make_answer, make_decision, make_nok, make_reviewer
from review.undo import undo_latest

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    project = make_project()
    make_live_model(project)
    return project


def waiting(project=None) -> list[tuple[int, str]]:
    """Every sample that waits, once, with its most urgent reason."""
    found: dict[int, str] = {}
    for reason in Reason:
        for sample in queue.waiting_samples(reason, QueueFilters(project=project)):
            found.setdefault(sample, reason.value)
    return list(found.items())


def test_a_nok_waits_with_its_reason(project):
    sample = make_nok(project)
    assert waiting() == [(sample.pk, "nok")]
    assert queue.review_reason(sample) == Reason.NOK


def test_what_a_removed_project_holds_does_not_wait(project):
    make_nok(project)
    Project.objects.filter(pk=project.pk).update(removed_at=timezone.now())
    assert waiting() == []


def test_a_confident_answer_that_nobody_complained_about_does_not_wait(project):
    prediction = make_answer(project)
    make_feedback(prediction, "OK")
    assert waiting() == []
    assert queue.review_reason(prediction.sample) is None


def test_each_reason_is_found_in_the_order_of_urgency(project):
    drawn = make_answer(project, drawn=True).sample
    timid = make_answer(project, confidence=0.3).sample
    abstained = make_answer(project, abstained=True).sample
    strange = make_answer(project, abstained=True, is_unfamiliar=True, familiarity=0.01).sample
    unsure = make_nok(project, Feedback.Verdict.UNSURE)
    nok = make_nok(project)
    expected = [
        (nok.pk, "nok"),
        (unsure.pk, "unsure"),
        (strange.pk, "unfamiliar"),
        (abstained.pk, "abstained"),
        (timid.pk, "low_confidence"),
        (drawn.pk, "audit"),
    ]
    assert waiting() == expected
    assert [
        (pk, str(reason))
        for reason in Reason
        for pk in queue.waiting_samples(reason)
        if pk != strange.pk
    ] == [pair for pair in expected if pair[0] != strange.pk]
    assert [reason for reason in Reason if strange.pk in queue.waiting_samples(reason)] == [
        Reason.UNFAMILIAR,
        Reason.ABSTAINED,
    ]


def test_the_most_urgent_of_several_reasons_counts(project):
    prediction = make_answer(project, drawn=True, confidence=0.2, abstained=True)
    make_feedback(prediction, "NOK")
    assert waiting() == [(prediction.sample_id, "nok")]


def test_what_was_decided_does_not_wait_any_more(project):
    sample = make_nok(project)
    make_decision(sample)
    assert waiting() == []
    assert list(queue.waiting_samples(Reason.NOK)) == []


def test_what_was_reopened_waits_again(project):
    sample = make_nok(project)
    make_decision(sample)
    make_decision(sample, outcome=Decision.Outcome.REOPENED)
    assert waiting() == [(sample.pk, "nok")]


def test_a_sample_whose_picture_was_let_go_does_not_wait(project):
    prediction = make_answer(project, location=Sample.Location.NOWHERE)
    make_feedback(prediction, "NOK")
    assert waiting() == []


def test_the_audit_can_be_switched_off_and_made_complete(project, settings):
    sample = make_answer(project).sample
    settings.REVIEW_AUDIT_PERCENT = 100
    assert waiting() == [(sample.pk, "audit")]
    settings.REVIEW_AUDIT_PERCENT = 0
    make_answer(project, drawn=True)
    assert waiting() == []


def test_little_confidence_is_sought_among_the_newest_answers_only(project, settings):
    settings.REVIEW_RECENT = 2
    old, *_, newest = [make_answer(project, confidence=0.2).sample for _ in range(3)]
    assert old.pk not in queue.waiting_samples(Reason.LOW_CONFIDENCE)
    assert next(queue.waiting_samples(Reason.LOW_CONFIDENCE)) == newest.pk


def test_those_who_asked_are_served_in_turn(project):
    first, second = make_nok(project), make_nok(project)
    assert list(queue.waiting_samples(Reason.NOK)) == [first.pk, second.pk]


def test_a_sample_with_two_noks_comes_once(project):
    sample = make_nok(project)
    make_feedback(make_prediction(sample=sample, project=project), "NOK")
    assert list(queue.waiting_samples(Reason.NOK)) == [sample.pk]


def test_other_projects_are_left_out(project):
    other = make_project()
    make_live_model(other)
    make_nok(other)
    mine = make_nok(project)
    assert waiting(project) == [(mine.pk, "nok")]
    assert list(queue.waiting_samples(Reason.NOK, QueueFilters(project=project))) == [mine.pk]


def test_filters_by_version_and_by_what_model_and_user_said(project):
    sushi = make_category(project, "sushi")
    first = make_nok(project, category=sushi)
    second_version = make_live_model(project)
    second = make_feedback(
        make_answer(
            project, model_version=second_version, scores={"tiramisu": 0.9, "gnocchi": 0.1}
        ),
        suggestion="pizza",
    ).prediction.sample

    def found(**filters):
        return list(queue.waiting_samples(Reason.NOK, QueueFilters(**filters)))

    assert found(version=second_version.pk) == [second.pk]
    assert found(suggested="sushi") == [first.pk]
    assert found(suggested="pizza") == [second.pk]
    assert found(predicted="gnocchi") == [first.pk]
    assert found(predicted="tiramisu", suggested="sushi") == []


def test_two_reviewers_get_different_samples(project):
    make_nok(project)
    make_nok(project)
    alice, bob = make_reviewer(), make_reviewer()
    assert {lease_next(alice).pk, lease_next(bob).pk} == set(
        Sample.objects.values_list("pk", flat=True)
    )
    assert lease_next(make_reviewer()) is None


def test_a_reload_shows_the_same_sample(project):
    sample = make_nok(project)
    alice = make_reviewer()
    assert lease_next(alice) == sample
    make_nok(project)
    assert lease_next(alice) == sample


def test_a_lease_that_does_not_fit_the_filters_is_given_back(project):
    sample = make_nok(project)
    alice = make_reviewer()
    lease_next(alice)
    assert lease_next(alice, QueueFilters(reason="audit")) is None
    assert lease_next(make_reviewer()) == sample


def test_a_skipped_sample_goes_to_others_only(project):
    sample = make_nok(project)
    alice = make_reviewer()
    lease_next(alice)
    leases.skip_sample(sample, alice)
    assert lease_next(alice) is None
    assert lease_next(make_reviewer()) == sample
    leases.release_all(Lease.objects.get().reviewer)
    leases.clear_skips(alice)
    assert lease_next(alice) == sample


def test_the_reviewer_is_told_what_comes_next_up_to_a_limit(project):
    samples = [make_nok(project).pk for _ in range(3)]
    assert queue.upcoming_samples(make_reviewer()) == samples
    assert queue.upcoming_samples(make_reviewer(), limit=2) == samples[:2]


def test_a_sample_decided_while_it_was_being_leased_is_passed_over(project, monkeypatch):
    gone, left = make_nok(project), make_nok(project)
    take = leases.acquire

    def decided_meanwhile(sample, reviewer):
        if sample == gone:
            make_decision(gone)
        return take(sample, reviewer)

    monkeypatch.setattr(leases, "acquire", decided_meanwhile)
    assert lease_next(make_reviewer()) == left
    assert not Lease.objects.filter(sample=gone).exists()


def age_feedback():
    Feedback.objects.update(created_at=timezone.now() - timedelta(days=1))


def test_nothing_decided_is_read_again_behind_the_horizon(project, django_assert_max_num_queries):
    for _ in range(3):
        make_decision(make_nok(project))
    waits = make_nok(project)
    age_feedback()
    queue.advance_marks()
    assert low_water_mark.get_mark("NOK") == Feedback.objects.get(prediction__sample=waits).pk - 1
    assert list(queue.waiting_samples(Reason.NOK)) == [waits.pk]


def test_fresh_verdicts_stay_before_the_horizon(project):
    make_decision(make_nok(project))
    queue.advance_marks()
    assert low_water_mark.get_mark("NOK") == 0


def test_an_undone_decision_comes_back_from_behind_the_horizon(project):
    sample, alice = make_nok(project), make_reviewer()
    decisions.discard_sample(sample, by=alice, prediction=Prediction.objects.get())
    age_feedback()
    queue.advance_marks()
    assert low_water_mark.get_mark("NOK") > 0
    undo_latest(alice)
    assert list(queue.waiting_samples(Reason.NOK)) == [sample.pk]


def test_a_long_way_over_what_was_decided_moves_the_horizon(project, monkeypatch):
    monkeypatch.setattr(queue, "SCAN_STEPS", (1, 1))
    for _ in range(3):
        make_decision(make_nok(project))
    waits = make_nok(project)
    age_feedback()
    assert list(queue.waiting_samples(Reason.NOK)) == [waits.pk]
    assert LowWaterMark.objects.get(verdict="NOK").feedback_id > 0

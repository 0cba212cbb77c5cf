"""Decisions about many samples at once: made, undone together, and asked for again."""

from uuid import uuid4

import pytest

from common.errors import InvalidInput
from predictions.tests.factories import make_category, make_live_model, make_project, make_sample
from review import decisions, ground_truth, leases, queue, undo
from review.models import Decision
from review.queue import QueueFilters, Reason
from review.tests.factories import make_decision, make_reviewer

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    project = make_project()
    make_live_model(project)
    return project


@pytest.fixture
def gnocchi(project):
    return project.categories.get(name="gnocchi")


@pytest.fixture
def samples(project):
    return [make_sample(project) for _number in range(3)]


def test_a_decision_that_was_seen_is_overridden_and_one_that_was_not_is_left(samples, gnocchi):
    first, second, _third = samples
    seen = make_decision(first)
    make_decision(second)
    made = decisions.decide_each(samples, gnocchi, by=make_reviewer(), seen={first.pk: seen.pk})
    assert [each.sample for each in made] == [first, samples[2]]


def test_a_decision_made_after_the_one_that_was_seen_is_left(samples, gnocchi):
    seen = make_decision(samples[0])
    newer = make_decision(samples[0], gnocchi)
    seen_by = {samples[0].pk: seen.pk}
    assert not decisions.decide_each(samples[:1], None, by=make_reviewer(), seen=seen_by)
    assert decisions.latest_decision(samples[0]) == newer


def test_having_seen_a_decision_takes_no_sample_from_a_colleague(samples, gnocchi):
    seen = make_decision(samples[0])
    leases.acquire(samples[0], make_reviewer())
    seen_by = {samples[0].pk: seen.pk}
    assert not decisions.decide_each(samples[:1], gnocchi, by=make_reviewer(), seen=seen_by)


def test_a_category_of_another_project_decides_nothing(samples):
    with pytest.raises(InvalidInput, match="another project"):
        decisions.decide_each(samples, make_category(), by=make_reviewer())
    assert not Decision.objects.exists()


def test_a_batch_is_undone_in_parts_by_who_made_it_alone(samples, gnocchi):
    reviewer, batch = make_reviewer(), uuid4()
    decisions.decide_each(samples, gnocchi, by=reviewer, batch=batch)
    assert undo.undo_batch(batch, by=make_reviewer(), most=10) == 0
    assert undo.undo_batch(uuid4(), by=reviewer, most=10) == 0
    assert [undo.undo_batch(batch, by=reviewer, most=2) for _turn in range(3)] == [2, 1, 0]
    assert not ground_truth.labelled_samples(samples[0].project).exists()


def test_what_was_decided_since_stays_when_a_batch_is_undone(samples, gnocchi):
    reviewer, batch = make_reviewer(), uuid4()
    decisions.decide_each(samples[:1], None, by=reviewer, batch=batch)
    make_decision(samples[0], gnocchi)
    assert undo.undo_batch(batch, by=reviewer, most=10) == 0
    assert list(ground_truth.labelled_samples(samples[0].project)) == samples[:1]


def test_a_sample_that_was_asked_for_waits_until_somebody_decides(samples, gnocchi):
    project, reviewer = samples[0].project, make_reviewer()
    make_decision(samples[0], gnocchi)
    assert decisions.send_to_review(samples[:2], by=reviewer) == 2
    assert decisions.send_to_review(samples[:2], by=reviewer) == 0
    for waiting in (2, 1):
        found = list(queue.waiting_samples(Reason.REQUESTED, QueueFilters(project=project)))
        assert len(found) == waiting
        sample = queue.lease_next(reviewer, QueueFilters(project=project, reason="requested"))
        decisions.label_sample(sample, gnocchi, by=reviewer)
    assert queue.lease_next(reviewer, QueueFilters(project=project, reason="requested")) is None


def test_asking_for_a_look_changes_no_label(samples, gnocchi):
    make_decision(samples[0], gnocchi)
    decisions.send_to_review(samples, by=make_reviewer())
    assert list(ground_truth.labelled_samples(samples[0].project)) == samples[:1]

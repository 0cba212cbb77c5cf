"""Runs that begin by themselves: when, with the gate, and who is told."""

from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from common import jobs
from notifications import mails
from notifications.models import Kind, Notification
from predictions import registry
from predictions.tests.factories import make_project, make_user
from training.models import TrainingPolicy, TrainingRun
from training.runs import execution, promotion, retraining
from training.tests.factories import make_finished_run, make_labelled, make_run, make_trainable

pytestmark = pytest.mark.django_db

Trigger = TrainingRun.Trigger


@pytest.fixture
def project():
    return make_trainable()


def wish(project, **fields) -> None:
    TrainingPolicy.objects.create(project=project, **fields)


def let_days_pass(project, days: int) -> None:
    earlier = timezone.now() - timedelta(days=days)
    project.runs.update(created_at=earlier)


def test_nothing_begins_by_itself_unless_somebody_wished_it(project):
    TrainingPolicy.objects.create(project=project)
    assert retraining.retrain_where_due() == 0


def test_enough_new_labels_begin_a_run(project):
    wish(project, retrain_after_labels=3)
    make_finished_run(project)
    make_labelled(project, "dark", train=2, validation=0, test=0)
    assert retraining.retrain_where_due() == 0
    make_labelled(project, "dark", train=1, validation=0, test=0)
    assert retraining.retrain_where_due() == 1
    run = project.runs.first()
    assert (run.trigger, run.promote, run.requested_by) == (Trigger.LABELS, True, None)


def test_while_it_runs_and_after_it_no_other_begins(project):
    wish(project, retrain_after_labels=3)
    assert retraining.retrain_where_due() == 1
    assert retraining.retrain_where_due() == 0
    jobs.run_due_jobs("training")
    assert retraining.retrain_where_due() == 0, "nothing was labelled since"


def test_a_run_that_failed_is_not_begun_again_every_minute(project):
    wish(project, retrain_after_labels=3)
    retraining.retrain_where_due()
    project.runs.update(status="failed")
    assert retraining.retrain_where_due() == 0


def test_days_that_went_by_begin_a_run_if_there_is_something_new(project):
    wish(project, retrain_every_days=7)
    make_finished_run(project)
    let_days_pass(project, 8)
    project.samples.update(created_at=timezone.now())
    _all_decided_before_the_run(project)
    assert retraining.retrain_where_due() == 0
    make_labelled(project, "dark", train=1, validation=0, test=0)
    assert retraining.retrain_where_due() == 1
    assert project.runs.first().trigger == Trigger.SCHEDULE


def test_days_that_have_not_gone_by_do_not(project):
    wish(project, retrain_every_days=7)
    make_finished_run(project)
    let_days_pass(project, 6)
    make_labelled(project, "dark", train=1, validation=0, test=0)
    assert retraining.retrain_where_due() == 0


def test_too_little_to_learn_from_is_no_error():
    project = make_project(trainer="dummy")
    make_labelled(project, "dark")
    wish(project, retrain_after_labels=1)
    assert retraining.retrain_where_due() == 0


def test_a_project_that_is_being_removed_is_let_alone(project):
    wish(project, retrain_after_labels=1)
    project.removed_at = timezone.now()
    project.save()
    assert retraining.retrain_where_due() == 0


def test_the_maintainers_are_mailed_what_came_of_it(project):
    make_user("maintainer", email="anna@example.org")
    make_user("reviewer", email="ben@example.org")
    wish(project, retrain_after_labels=1)
    retraining.retrain_where_due()
    jobs.run_due_jobs("training")
    mails.request_mails()
    jobs.run_due_jobs()
    (sent,) = mail.outbox
    assert sent.to == ["anna@example.org"]
    assert "version 1 is live now" in sent.body
    assert registry.live_version(project).number == 1


def test_of_a_run_that_somebody_asked_for_they_alone_are_told(project):
    anna = make_user("maintainer")
    make_user("maintainer")
    run = make_finished_run(project, by=anna)
    told = Notification.objects.get()
    assert (told.user, told.kind, told.params["number"]) == (anna, Kind.RUN_DONE, run.number)


def test_a_model_that_the_gate_refused_is_told_as_that(project, monkeypatch):
    anna = make_user("maintainer")
    unloadable = "This model cannot be loaded."
    monkeypatch.setattr(promotion, "load_problem", lambda *_args: unloadable)
    make_finished_run(project, by=anna, promote=True)
    assert Notification.objects.get().kind == Kind.GATE_REFUSED


def test_nobody_is_told_of_a_run_that_was_cancelled(project):
    run = make_run(project, by=make_user("maintainer"))
    execution.cancel_run(run)
    run.refresh_from_db()
    assert run.status == TrainingRun.Status.CANCELLED
    assert not Notification.objects.exists()


class TestTheOptions:
    def test_a_maintainer_sets_them(self, client, project):
        client.force_login(make_user("maintainer"))
        sent = {"name": project.name, "abstain_below": 0, "trainer": "dummy"}
        sent |= {"second_opinion_percent": 0}
        policy = {"margin": 0.1, "retrain_after_labels": 25, "retrain_every_days": 7}
        client.post(f"/training/{project.slug}/options/", sent | policy)
        saved = TrainingPolicy.of(project)
        assert {name: getattr(saved, name) for name in policy} == policy

    def test_a_senseless_margin_is_refused_and_nothing_is_saved(self, client, project):
        client.force_login(make_user("maintainer"))
        sent = {"name": "Other", "abstain_below": 0, "trainer": "dummy"}
        policy = {"margin": 0.9, "retrain_after_labels": 0, "retrain_every_days": 0}
        answer = client.post(f"/training/{project.slug}/options/", sent | policy)
        assert answer.status_code == 400
        project.refresh_from_db()
        assert project.name != "Other"


def _all_decided_before_the_run(project) -> None:
    long_ago = timezone.now() - timedelta(days=30)
    for sample in project.samples.all():
        sample.decisions.update(created_at=long_ago)

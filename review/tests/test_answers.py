"""A user who said NOK is told what a reviewer decided."""

import pytest

from notifications.models import Kind, Notification
from predictions.models import Feedback
from predictions.tests.factories import make_feedback, make_live_model, make_project
from review import decisions
from review.tests.factories import make_answer, make_reviewer

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    project = make_project()
    make_live_model(project)
    return project


def test_whoever_said_nok_is_told_what_it_is(project):
    doubt = make_feedback(make_answer(project))
    category = project.categories.first()
    decisions.label_sample(doubt.prediction.sample, category, by=make_reviewer())
    told = Notification.objects.get()
    assert (told.user, told.kind) == (doubt.user, Kind.NOK_ANSWERED)
    assert told.params == {"category": category.name}
    assert told.url == doubt.prediction.get_absolute_url()


def test_neither_who_said_ok_nor_who_decided_is_told(project):
    reviewer = make_reviewer()
    content = make_feedback(make_answer(project), Feedback.Verdict.OK)
    own = make_feedback(make_answer(project, user=reviewer))
    for feedback in (content, own):
        decisions.discard_sample(feedback.prediction.sample, by=reviewer)
    assert not Notification.objects.exists()


def test_what_is_undone_before_anybody_read_it_is_taken_back(project):
    doubt, reviewer = make_feedback(make_answer(project)), make_reviewer()
    sample = doubt.prediction.sample
    decisions.discard_sample(sample, by=reviewer)
    decisions.reopen(sample, by=reviewer)
    assert not Notification.objects.exists()

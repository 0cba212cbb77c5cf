import pytest

from predictions import holds
from predictions.models import Sample
from predictions.tests.factories import make_sample
from review import leases
from review.models import Decision
from review.tests.factories import make_decision, make_reviewer

pytestmark = pytest.mark.django_db


def test_a_picture_nobody_ruled_about_is_not_kept():
    make_sample()
    assert not Sample.objects.filter(holds.deletion_blocked()).exists()


def test_a_decision_settles_a_sample_until_it_is_undone():
    sample = make_sample()
    make_decision(sample)
    assert Sample.objects.filter(holds.feedback_locked()).get() == sample
    make_decision(sample, outcome=Decision.Outcome.REOPENED)
    assert not Sample.objects.filter(holds.feedback_locked()).exists()
    assert Sample.objects.filter(holds.deletion_blocked()).get() == sample


def test_a_picture_on_a_reviewers_screen_is_kept():
    sample = make_sample()
    leases.acquire(sample, make_reviewer())
    assert Sample.objects.filter(holds.deletion_blocked()).get() == sample

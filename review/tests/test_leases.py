from datetime import timedelta

import pytest
from django.utils import timezone

from predictions.tests.factories import make_sample
from review import leases
from review.models import Lease
from review.tests.factories import make_reviewer

pytestmark = pytest.mark.django_db


def run_out(sample):
    Lease.objects.filter(sample=sample).update(until=timezone.now() - timedelta(seconds=1))


def test_one_reviewer_has_a_sample_at_a_time():
    sample, alice, bob = make_sample(), make_reviewer(), make_reviewer()
    assert leases.acquire(sample, alice)
    assert not leases.acquire(sample, bob)
    assert leases.is_held_by(sample, alice)
    assert leases.is_held_by_another(sample, bob)
    assert not leases.is_held_by_another(sample, alice)


def test_taking_again_renews():
    sample, alice = make_sample(), make_reviewer()
    leases.acquire(sample, alice)
    run_out(sample)
    assert not leases.is_held_by(sample, alice)
    assert leases.acquire(sample, alice)
    assert leases.is_held_by(sample, alice)


def test_a_lease_that_ran_out_goes_to_the_next_reviewer():
    sample, alice, bob = make_sample(), make_reviewer(), make_reviewer()
    leases.acquire(sample, alice)
    run_out(sample)
    assert leases.acquire(sample, bob)
    assert not leases.is_held_by(sample, alice)


def test_nobody_gives_back_what_another_holds():
    sample, alice, bob = make_sample(), make_reviewer(), make_reviewer()
    leases.acquire(sample, alice)
    leases.release(sample, bob)
    assert leases.is_held_by(sample, alice)
    leases.release(sample, alice)
    assert leases.acquire(sample, bob)

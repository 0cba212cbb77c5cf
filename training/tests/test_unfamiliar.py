"""How many pictures a model would refuse as unlike anything it has learned."""

import numpy as np
import pytest
from django.urls import reverse

from predictions.tests.factories import make_user
from training.tests.factories import make_finished_run, make_trainable
from training.trainers.dummy import DummyTrainer


@pytest.fixture
def maintainer(client):
    client.force_login(make_user("maintainer"))
    return client


def page_of(client, run):
    return client.get(reverse("training:run", args=[run.pk])).content.decode()


@pytest.mark.django_db
def test_a_run_counts_them_in_both_splits_and_its_page_shows_the_shares(maintainer, monkeypatch):
    def ood_p_values(self, model, examples, progress=None):
        return np.array([0.05 if place < 3 else 0.06 for place in range(len(examples))])

    monkeypatch.setattr(DummyTrainer, "ood_p_values", ood_p_values)
    run = make_finished_run(make_trainable(test=6))
    assert run.unfamiliar == {
        "validation": {"count": 2, "unfamiliar": 2},
        "test": {"count": 12, "unfamiliar": 3},
    }
    page = page_of(maintainer, run)
    assert '<td class="text-end">3</td><td class="text-end">12</td>' in page
    assert "Not available for this model" not in page


@pytest.mark.django_db
def test_a_trainer_that_does_not_measure_it_leaves_it_open(maintainer):
    run = make_finished_run()
    assert run.unfamiliar == {}
    assert "Not available for this model" in page_of(maintainer, run)

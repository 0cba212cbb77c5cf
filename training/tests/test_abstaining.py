"""A threshold below which a model had better say that it is unsure."""

import numpy as np
import pytest
from django.urls import reverse

from predictions.tests.factories import make_model_version, make_project, make_user
from training.evaluation import selective
from training.models import TrainingRun
from training.tests.factories import make_finished_run, make_labelled, make_run

CONFIDENCES = np.array([0.55] * 10 + [0.65] * 10 + [0.85] * 20)
RIGHT = np.array([False] * 6 + [True] * 4 + [False] * 1 + [True] * 9 + [True] * 20)


def test_the_lowest_threshold_that_reaches_the_precision_is_taken():
    assert selective.lowest_threshold(CONFIDENCES, RIGHT, 0.8) == 0.0  # 33 of 40
    assert selective.lowest_threshold(CONFIDENCES, RIGHT, 0.9) == 0.56  # 29 of 30
    assert selective.lowest_threshold(CONFIDENCES, RIGHT, 0.99) == 0.66  # 20 of 20


def test_a_share_of_exactly_the_precision_is_enough():
    assert selective.lowest_threshold(np.full(10, 0.7), np.arange(10) < 9, 0.9) == 0.0


def test_a_precision_out_of_reach_has_no_threshold():
    assert selective.lowest_threshold(np.full(40, 0.99), np.arange(40) % 2 == 0, 0.9) is None


def test_a_few_answers_kept_are_no_evidence():
    confidences = np.array([0.5] * 20 + [0.9] * 9)
    assert selective.lowest_threshold(confidences, confidences > 0.6, 0.9) is None


def test_proposals_come_with_what_they_do_to_both_splits():
    first, *_others, last = selective.propose_thresholds(
        (CONFIDENCES, RIGHT), (np.array([0.9, 0.5]), np.array([False, True]))
    )
    assert (first["wanted"], first["threshold"]) == (0.9, 0.56)
    assert first["validation"] == {"kept": 30, "right": 29, "count": 40}
    assert first["test"] == {"kept": 1, "right": 0, "count": 2}
    assert (last["wanted"], last["threshold"]) == (0.99, 0.66)


def test_too_few_validation_answers_propose_nothing():
    assert selective.propose_thresholds((CONFIDENCES[:9], RIGHT[:9]), (CONFIDENCES, RIGHT)) == []


def test_without_answers_shares_are_undefined():
    nothing = selective.answered_at(0.5, np.empty(0), np.empty(0, bool))
    assert (nothing.precision, nothing.coverage, nothing.interval) == (None, None, None)


def make_proposing_run(*, promote: bool = True) -> TrainingRun:
    """Make a run whose validation split is large enough, and give it a threshold that is easy to
    tell.
    """
    project = make_project("Dishes", trainer="dummy")
    for name, colour in (("dark", "black"), ("light", "white")):
        make_labelled(project, name, colour=colour, validation=8, test=6)
    run = make_finished_run(project, promote=promote)
    assert [each["threshold"] for each in run.abstaining] == [0.0, 0.0, 0.0]  # it is always right
    run.abstaining[0]["threshold"] = 0.62
    run.abstaining[1] = {"wanted": 0.95, "threshold": None, "validation": None, "test": None}
    run.save()
    return run


@pytest.fixture
def maintainer(client):
    client.force_login(make_user("maintainer"))


def use(client, run: TrainingRun, wanted: str):
    return client.post(reverse("training:use_threshold", args=[run.pk]), {"wanted": wanted})


@pytest.mark.django_db
@pytest.mark.usefixtures("maintainer")
def test_the_page_of_a_run_offers_its_thresholds_and_a_button_takes_one(client):
    run = make_proposing_run()
    address = reverse("training:run", args=[run.pk])
    shown = client.get(address).content.decode()
    assert "Use 0.62 for this project" in shown
    assert "No threshold reaches it." in shown
    assert use(client, run, "0.9")["Location"] == address
    run.project.refresh_from_db()
    assert run.project.abstain_below == 0.62
    assert "abstains below 0.62 from now on" in client.get(address).content.decode()


@pytest.mark.django_db
@pytest.mark.usefixtures("maintainer")
@pytest.mark.parametrize("wanted", ["0.95", "0.5", "", "nan"])
def test_what_was_not_proposed_cannot_be_used(client, wanted):
    run = make_proposing_run()
    assert use(client, run, wanted).status_code == 400
    run.project.refresh_from_db()
    assert run.project.abstain_below == 0


@pytest.mark.django_db
@pytest.mark.usefixtures("maintainer")
def test_the_threshold_of_a_model_that_is_not_live_fits_nothing(client):
    run = make_proposing_run(promote=False)
    shown = client.get(reverse("training:run", args=[run.pk])).content.decode()
    assert "for this project" not in shown
    assert "Promote this model to use its thresholds" in shown
    assert use(client, run, "0.9").status_code == 409
    run.project.refresh_from_db()
    assert run.project.abstain_below == 0


@pytest.mark.django_db
def test_only_maintainers_set_it_and_only_by_post(client):
    run = make_proposing_run()
    client.force_login(make_user("reviewer"))
    assert use(client, run, "0.9").status_code == 403
    client.force_login(make_user("maintainer"))
    assert client.get(reverse("training:use_threshold", args=[run.pk])).status_code == 405


@pytest.mark.django_db
@pytest.mark.usefixtures("maintainer")
def test_the_options_name_the_thresholds_of_the_live_model(client):
    run = make_proposing_run()
    shown = client.get(reverse("training:options", args=[run.project.slug])).content.decode()
    assert "For 90.0% right answers: 0.62, which keeps 100.0% of the answers." in shown
    assert reverse("training:run", args=[run.pk]) in shown


@pytest.mark.django_db
@pytest.mark.usefixtures("maintainer")
def test_without_proposals_the_pages_say_so_or_stay_silent(client):
    run = make_finished_run(promote=True)
    assert run.abstaining == []
    shown = client.get(reverse("training:run", args=[run.pk])).content.decode()
    assert "too few validation samples" in shown
    assert use(client, run, "0.9").status_code == 400
    assert (
        "right answers:"
        not in client.get(reverse("training:options", args=[run.project.slug])).content.decode()
    )


@pytest.mark.django_db
@pytest.mark.usefixtures("maintainer")
def test_a_model_made_elsewhere_and_a_waiting_run_propose_nothing(client):
    version = make_model_version(make_project())
    assert selective.run_of_live_version(version.project) is None
    waiting = make_run()
    assert selective.stored_proposals(waiting) == []
    assert client.get(reverse("training:run", args=[waiting.pk])).status_code == 200

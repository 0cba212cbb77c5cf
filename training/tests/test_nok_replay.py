"""What users had called wrong is asked again of every new model, and they are told."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from predictions import registry
from predictions.models import Feedback, Sample
from predictions.tests.factories import (
    make_feedback,
    make_model_version,
    make_prediction,
    make_user,
)
from training.evaluation import nok_replay
from training.evaluation.nok_replay import ReplayCounts
from training.models import NokReplay
from training.tests.factories import make_dataset, make_finished_run, make_trainable

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    return make_trainable()


def call_wrong(sample: Sample, version, *, by=None) -> Feedback:
    prediction = make_prediction(sample=sample, model_version=version, user=by or make_user())
    return make_feedback(prediction, "NOK", user=prediction.user)


def in_split(project, split: str) -> Sample:
    return make_dataset(project).items.filter(split=split).first().sample


def test_each_reviewed_nok_is_asked_again_and_what_was_learned_is_told_apart(project):
    old = make_model_version(project, ("light", "dark"))
    for split in ("train", "test"):
        call_wrong(in_split(project, split), old)
    version = make_finished_run(project).model_version
    assert nok_replay.count_replays(version) == ReplayCounts(
        learned=1, learned_right=1, unseen=1, unseen_right=1
    )


def test_one_that_is_still_wrong_says_what_it_is_taken_for(project):
    sample = in_split(project, "test")
    call_wrong(sample, make_model_version(project))
    decision = sample.decisions.get()
    other = {"dark": "light", "light": "dark"}[decision.category.name]
    sample.decisions.update(category=project.categories.get(name=other))
    version = make_finished_run(project).model_version
    replay = NokReplay.objects.get(model_version=version)
    assert (replay.is_right, replay.answer) == (False, decision.category)


def test_what_nobody_has_decided_is_not_asked_about(project):
    sample = in_split(project, "train")
    call_wrong(sample, make_model_version(project))
    sample.decisions.all().delete()
    make_finished_run(project)
    assert not NokReplay.objects.exists()


def test_nor_what_nobody_called_wrong(project):
    make_prediction(sample=in_split(project, "train"), model_version=make_model_version(project))
    make_finished_run(project)
    assert not NokReplay.objects.exists()


class TestWhoSaidNok:
    @pytest.fixture
    def reporter(self):
        return make_user()

    @pytest.fixture
    def given(self, project, reporter) -> Feedback:
        old = make_model_version(project, ("light", "dark"))
        registry.promote_version(old, by=None)
        return call_wrong(in_split(project, "train"), old, by=reporter)

    def told(self, client, given) -> list[str]:
        pages = ["/predictions/", given.prediction.get_absolute_url()]
        client.force_login(given.user)
        return [client.get(page).content.decode() for page in pages]

    def test_is_told_once_the_live_model_has_it_right(self, client, project, given):
        version = make_finished_run(project).model_version
        registry.promote_version(version, by=None)
        for page in self.told(client, given):
            assert f"Version {version.number} gets it right now: <strong>dark</strong>." in page

    def test_is_told_nothing_of_a_model_that_is_not_live(self, client, project, given):
        make_finished_run(project)
        for page in self.told(client, given):
            assert "gets it right now" not in page

    def test_the_list_asks_as_many_questions_for_many_pictures_as_for_one(
        self, client, project, given
    ):
        registry.promote_version(make_finished_run(project).model_version, by=None)
        client.force_login(given.user)
        client.get("/predictions/")
        with CaptureQueriesContext(connection) as of_one:
            client.get("/predictions/")
        for split in ("validation", "test"):
            call_wrong(in_split(project, split), given.prediction.model_version, by=given.user)
        registry.promote_version(make_finished_run(project).model_version, by=None)
        with CaptureQueriesContext(connection) as of_three:
            page = client.get("/predictions/").content.decode()
        assert page.count("gets it right now") == 3
        assert len(of_three) == len(of_one)


def test_the_page_of_a_run_counts_them(client, project):
    call_wrong(in_split(project, "test"), make_model_version(project, ("light", "dark")))
    run = make_finished_run(project)
    client.force_login(make_user("maintainer"))
    page = client.get(f"/training/runs/{run.pk}/").content.decode()
    assert "this model gets 1 of 1 right" in page
    assert "1 of 1 that it has not learned from" in page

from unittest.mock import patch

import pytest
from django.urls import reverse

from predictions import registry
from predictions.models import Promotion
from predictions.predictors.base import PredictorError
from predictions.tests.factories import (
    make_feedback,
    make_model_version,
    make_prediction,
    make_user,
)
from training.models import TrainingPolicy
from training.runs import promotion
from training.tests.factories import make_dataset, make_finished_run, make_trainable


def decide(candidate, dataset, *, by=None) -> promotion.PromotionOutcome:
    """Have the gate decide as a run does: once both models are measured, as far as that can be
    done.
    """
    live = registry.live_version(candidate.project)
    for version in filter(None, (candidate, live)):
        promotion.try_evaluate(version, dataset)
    return promotion.promote_if_better(candidate, live, dataset, by=by)


@pytest.mark.django_db
class TestTheGate:
    def test_the_first_model_passes_whatever_the_evidence(self):
        project = make_trainable(test=0)
        version = make_model_version(project, ("dark", "light"))
        outcome = decide(version, make_dataset(project))
        assert outcome.promoted
        assert outcome.sentence == "Version 1 is live now. It is the first model of this project."
        assert registry.live_version(project) == version

    def test_a_better_model_goes_live_and_says_why(self):
        project = make_trainable()
        maintainer = make_user("maintainer")
        # Has them the wrong way round
        registry.promote_version(make_model_version(project, ("light", "dark")), by=None)
        better = make_model_version(project, ("dark", "light"))
        assert decide(better, make_dataset(project), by=maintainer).promoted
        newest = Promotion.objects.latest("pk")
        assert (newest.model_version, newest.promoted_by) == (better, maintainer)
        assert newest.reason == (
            "Not worse than the live model. 12 of 12 test samples are right; the live model has 0."
        )

    def test_a_worse_model_does_not(self):
        project = make_trainable()
        good = make_model_version(project, ("dark", "light"))
        registry.promote_version(good, by=None)
        worse = make_model_version(project, ("light", "dark"))
        outcome = decide(worse, make_dataset(project))
        assert not outcome.promoted
        assert "was not promoted. Worse than the live model" in outcome.sentence
        assert registry.live_version(project) == good

    def test_a_model_that_does_not_load_does_not(self):
        project = make_trainable()
        with patch(
            "predictions.predictors.dummy.DummyPredictor.warm_up",
            side_effect=PredictorError("bad digest"),
        ):
            run = make_finished_run(project, promote=True)
        assert (run.status, registry.live_version(project)) == ("succeeded", None)
        assert "bad digest" in run.outcome

    def test_a_live_model_that_cannot_be_measured_is_not_replaced(self):
        project = make_trainable()
        old = make_model_version(project, ("dark", "light"), predictor="gone")
        registry.promote_version(old, by=None)
        candidate = make_model_version(project, ("dark", "light"))
        assert not decide(candidate, make_dataset(project)).promoted

    def test_another_promotion_meanwhile_is_respected(self):
        project = make_trainable()
        candidate, other = (make_model_version(project, ("dark", "light")) for _ in range(2))
        dataset = make_dataset(project)
        registry.promote_version(other, by=None)
        outcome = promotion.promote_if_better(candidate, None, dataset, by=None)
        assert not outcome.promoted
        assert registry.live_version(project) == other

    def test_how_much_a_model_may_cost_is_the_projects_choice(self):
        project = make_trainable()
        live, alike = (make_model_version(project, ("dark", "light")) for _ in range(2))
        registry.promote_version(live, by=None)
        outcome = decide(alike, make_dataset(project))
        assert "may be worse by up to 18 points, and this project allows 5.0" in outcome.sentence
        TrainingPolicy.objects.create(project=project, margin=0.2)
        assert decide(alike, make_dataset(project)).promoted

    def test_noks_are_those_of_the_test_split(self):
        project = make_trainable()
        dataset = make_dataset(project)
        version = make_model_version(project, ("dark", "light"))
        in_test = dataset.items.filter(split="test").first().sample
        in_train = dataset.items.filter(split="train").first().sample
        for sample in (in_test, in_train):
            make_feedback(make_prediction(sample=sample, model_version=version), "NOK")
        assert promotion.nok_samples(dataset) == {in_test.pk}


@pytest.mark.django_db
class TestByHand:
    def test_promotion_and_roll_back_keep_who_and_why(self):
        project = make_trainable()
        maintainer = make_user("maintainer")
        first, second = (make_model_version(project) for _ in range(2))
        promotion.promote_version(first, by=maintainer, reason="the first")
        promotion.promote_version(second, by=maintainer, reason="newer")
        promotion.promote_version(
            registry.previous_version(project), by=maintainer, reason="it mixes up soups"
        )
        assert registry.live_version(project) == first
        newest = Promotion.objects.latest("pk")
        assert (newest.promoted_by, newest.reason) == (maintainer, "it mixes up soups")

    def test_what_is_live_is_not_promoted_again(self):
        version = make_model_version()
        promotion.promote_version(version, by=None)
        with pytest.raises(promotion.NotPromotable, match="live already"):
            promotion.promote_version(version, by=None)
        assert Promotion.objects.count() == 1

    def test_without_an_earlier_model_there_is_no_way_back(self):
        version = make_model_version()
        promotion.promote_version(version, by=None)
        assert registry.previous_version(version.project) is None

    def test_a_broken_model_is_refused_and_the_old_one_serves_on(self):
        project = make_trainable()
        good, broken = (make_model_version(project) for _ in range(2))
        promotion.promote_version(good, by=None)
        with (
            patch(
                "predictions.predictors.dummy.DummyPredictor.warm_up",
                side_effect=PredictorError("bad digest"),
            ),
            pytest.raises(promotion.NotPromotable, match="bad digest"),
        ):
            promotion.promote_version(broken, by=None)
        assert registry.live_version(project) == good


@pytest.mark.django_db
class TestWhatAPersonPromoted:
    def test_the_page_of_a_run_says_who_promoted_its_model(self, client):
        run = make_finished_run()
        maintainer = make_user("maintainer", username="maria")
        promotion.promote_version(run.model_version, by=maintainer, reason="Seen in the shop.")
        client.force_login(maintainer)
        page = client.get(reverse("training:run", args=[run.pk])).content.decode()
        assert "Version 1 was promoted by maria" in page and "Seen in the shop." in page

    def test_what_the_gate_promoted_nobody_did_by_hand(self):
        run = make_finished_run(promote=True)
        assert registry.live_version(run.project) == run.model_version
        assert promotion.promoted_by_hand(run) is None

    def test_nor_what_was_not_promoted(self):
        assert promotion.promoted_by_hand(make_finished_run()) is None

from unittest.mock import patch

import pytest

from predictions import registry
from predictions.models import Promotion
from predictions.predictors.base import PredictorError
from predictions.tests.factories import make_feedback, make_model_version, make_prediction, make_user
from training.models import Evaluation
from training.runs import promotion
from training.runs.promotion import Verdict
from training.tests.factories import make_dataset, make_finished_run, make_trainable


def measured(right: int, wrong: int = 0, **answers: bool) -> Evaluation:
    """An evaluation with these numbers of right and wrong answers, to the same questions for the same total."""
    numbered = {str(place): place < right for place in range(right + wrong)}
    return Evaluation(answers=numbered | answers)


def test_as_many_right_is_not_worse():
    assert promotion.judge(measured(9, 3), measured(9, 3)).verdict == Verdict.NOT_WORSE


def test_one_right_fewer_is_worse():
    comparison = promotion.judge(measured(8, 4), measured(9, 3))
    assert comparison.verdict == Verdict.WORSE
    assert comparison.sentence == "Worse than the live model: 8 of 12 test pictures right, the live one 9."


def test_nine_test_pictures_are_not_enough():
    comparison = promotion.judge(measured(9), measured(2, 7))
    assert comparison.verdict == Verdict.UNCLEAR
    assert comparison.sentence.startswith("Not enough evidence: only 9 test pictures")


def test_only_pictures_that_both_were_asked_about_count():
    candidate = Evaluation(answers={str(place): True for place in range(10)} | {"20": False, "21": False})
    live = Evaluation(answers={str(place): True for place in range(10)})
    assert promotion.judge(candidate, live).verdict == Verdict.NOT_WORSE


def test_better_at_large_but_worse_on_reviewed_noks_is_worse():
    live = measured(5, 7)
    candidate = Evaluation(answers={str(place): place != 0 for place in range(12)})
    assert promotion.judge(candidate, live).verdict == Verdict.NOT_WORSE
    assert promotion.judge(candidate, live, noks=[0]).verdict == Verdict.WORSE


def test_what_was_not_measured_is_no_evidence():
    assert promotion.judge(None, measured(12)).verdict == Verdict.UNCLEAR
    assert promotion.judge(measured(12), None).verdict == Verdict.UNCLEAR


def decide(candidate, dataset, *, by=None) -> promotion.Outcome:
    """Have the gate decide as a run does: once both models are measured, as far as that can be done."""
    live = registry.live(candidate.project)
    for version in filter(None, (candidate, live)):
        promotion.measure_if_possible(version, dataset)
    return promotion.decide(candidate, live, dataset, by=by)


@pytest.mark.django_db
class TestTheGate:
    def test_the_first_model_passes_whatever_the_evidence(self):
        project = make_trainable(test=0)
        version = make_model_version(project, ("dark", "light"))
        outcome = decide(version, make_dataset(project))
        assert outcome.promoted
        assert outcome.sentence == "Version 1 is live now. It is the first model of this project."
        assert registry.live(project) == version

    def test_a_better_model_goes_live_and_says_why(self):
        project = make_trainable()
        maintainer = make_user("maintainer")
        registry.promote(make_model_version(project, ("light", "dark")), by=None)  # has them the wrong way round
        better = make_model_version(project, ("dark", "light"))
        assert decide(better, make_dataset(project), by=maintainer).promoted
        newest = Promotion.objects.latest("pk")
        assert (newest.model_version, newest.promoted_by) == (better, maintainer)
        assert newest.reason == "Not worse than the live model: 12 of 12 test pictures right, the live one 0."

    def test_a_worse_model_does_not(self):
        project = make_trainable()
        good = make_model_version(project, ("dark", "light"))
        registry.promote(good, by=None)
        worse = make_model_version(project, ("light", "dark"))
        outcome = decide(worse, make_dataset(project))
        assert not outcome.promoted
        assert "was not promoted. Worse than the live model" in outcome.sentence
        assert registry.live(project) == good

    def test_a_model_that_does_not_load_does_not(self):
        project = make_trainable()
        with patch("predictions.predictors.dummy.DummyPredictor.load", side_effect=PredictorError("bad digest")):
            run = make_finished_run(project, promote=True)
        assert (run.status, registry.live(project)) == ("succeeded", None)
        assert "bad digest" in run.outcome

    def test_a_live_model_that_cannot_be_measured_is_not_replaced(self):
        project = make_trainable()
        old = make_model_version(project, ("dark", "light"), predictor="gone")
        registry.promote(old, by=None)
        candidate = make_model_version(project, ("dark", "light"))
        assert not decide(candidate, make_dataset(project)).promoted

    def test_another_promotion_meanwhile_is_respected(self):
        project = make_trainable()
        candidate, other = (make_model_version(project, ("dark", "light")) for _ in range(2))
        dataset = make_dataset(project)
        registry.promote(other, by=None)
        outcome = promotion.decide(candidate, None, dataset, by=None)
        assert not outcome.promoted
        assert registry.live(project) == other

    def test_noks_are_those_of_the_test_split(self):
        project = make_trainable()
        dataset = make_dataset(project)
        version = make_model_version(project, ("dark", "light"))
        in_test = dataset.items.filter(split="test").first().sample
        in_train = dataset.items.filter(split="train").first().sample
        for sample in (in_test, in_train):
            make_feedback(make_prediction(sample=sample, model_version=version), "NOK")
        assert promotion._noks(dataset) == [in_test.pk]


@pytest.mark.django_db
class TestByHand:
    def test_promotion_and_roll_back_keep_who_and_why(self):
        project = make_trainable()
        maintainer = make_user("maintainer")
        first, second = (make_model_version(project) for _ in range(2))
        promotion.promote(first, by=maintainer, reason="the first")
        promotion.promote(second, by=maintainer, reason="newer")
        promotion.promote(registry.previous(project), by=maintainer, reason="it mixes up soups")
        assert registry.live(project) == first
        newest = Promotion.objects.latest("pk")
        assert (newest.promoted_by, newest.reason) == (maintainer, "it mixes up soups")

    def test_what_is_live_is_not_promoted_again(self):
        version = make_model_version()
        promotion.promote(version, by=None)
        with pytest.raises(promotion.NotPromotable, match="live already"):
            promotion.promote(version, by=None)
        assert Promotion.objects.count() == 1

    def test_without_an_earlier_model_there_is_no_way_back(self):
        version = make_model_version()
        promotion.promote(version, by=None)
        assert registry.previous(version.project) is None

    def test_a_broken_model_is_refused_and_the_old_one_serves_on(self):
        project = make_trainable()
        good, broken = (make_model_version(project) for _ in range(2))
        promotion.promote(good, by=None)
        with (
            patch("predictions.predictors.dummy.DummyPredictor.load", side_effect=PredictorError("bad digest")),
            pytest.raises(promotion.NotPromotable, match="bad digest"),
        ):
            promotion.promote(broken, by=None)
        assert registry.live(project) == good

from unittest.mock import patch

import pytest

from predictions import registry
from predictions.models import Promotion
from predictions.predictors.base import PredictorError
from predictions.tests.factories import (
    make_feedback,
    make_model_version,
    make_prediction,
    make_user,
)
from training.models import Evaluation
from training.runs import promotion
from training.runs.promotion import ComparisonVerdict
from training.tests.factories import make_dataset, make_finished_run, make_trainable


def measured(right: int, wrong: int = 0, **answers: bool) -> Evaluation:
    """An evaluation with these numbers of right and wrong answers, to the same questions for the
    same total.
    """
    numbered = {str(place): place < right for place in range(right + wrong)}
    return Evaluation(answers=numbered | answers)


def test_as_many_right_is_not_worse():
    assert (
        promotion.compare_evaluations(measured(9, 3), measured(9, 3)).verdict
        == ComparisonVerdict.NOT_WORSE
    )


def test_one_right_fewer_is_worse():
    comparison = promotion.compare_evaluations(measured(8, 4), measured(9, 3))
    assert comparison.verdict == ComparisonVerdict.WORSE
    assert (
        comparison.sentence
        == "Worse than the live model: 8 of 12 test pictures right, the live one 9."
    )


def test_nine_test_pictures_are_not_enough():
    comparison = promotion.compare_evaluations(measured(9), measured(2, 7))
    assert comparison.verdict == ComparisonVerdict.UNCLEAR
    assert comparison.sentence.startswith("Not enough evidence: only 9 test pictures")


def test_only_pictures_that_both_were_asked_about_count():
    candidate = Evaluation(
        answers={str(place): True for place in range(10)} | {"20": False, "21": False}
    )
    live = Evaluation(answers={str(place): True for place in range(10)})
    assert promotion.compare_evaluations(candidate, live).verdict == ComparisonVerdict.NOT_WORSE


def test_better_at_large_but_worse_on_reviewed_noks_is_worse():
    live = measured(5, 7)
    candidate = Evaluation(answers={str(place): place != 0 for place in range(12)})
    assert promotion.compare_evaluations(candidate, live).verdict == ComparisonVerdict.NOT_WORSE
    assert (
        promotion.compare_evaluations(candidate, live, noks=[0]).verdict == ComparisonVerdict.WORSE
    )


def learned_pizza(lost: int, gained: int = 0, *, pizzas: int = 3) -> promotion.EvaluationComparison:
    """Compare with a candidate that knows pizza, of 84 pictures of which the live model has 75
    right, so many of these lost and so many of the others gained.
    """
    live = {str(place): place < 75 for place in range(84)}
    candidate = live | {str(place): False for place in range(lost)}
    candidate |= {str(75 + place): True for place in range(gained)}
    new = range(100, 103)
    live |= {str(place): False for place in new}
    candidate |= {str(place): place < 100 + pizzas for place in new}
    return promotion.compare_evaluations(
        Evaluation(answers=candidate), Evaluation(answers=live), newly_known={"pizza": list(new)}
    )


def test_who_newly_knows_a_category_may_lose_what_chance_explains():
    comparison = learned_pizza(lost=8, gained=2)
    assert comparison.verdict == ComparisonVerdict.NOT_WORSE
    assert comparison.sentence == (
        "Newly knows “pizza” (3 of 3). On the categories that the live model knows: 69 of 84 test "
        "pictures right, the live one 75; chance explains that."
    )


def test_and_no_more_than_that():
    comparison = learned_pizza(lost=6)
    assert comparison.verdict == ComparisonVerdict.WORSE
    assert "Chance does not explain that." in comparison.sentence


def test_a_category_of_which_no_picture_is_recognised_is_no_gain():
    comparison = learned_pizza(lost=1, pizzas=0)
    assert comparison.verdict == ComparisonVerdict.WORSE
    assert comparison.sentence.startswith("Worse than the live model: 74 of 87")


def test_pictures_of_the_new_category_make_up_for_no_lack_of_evidence():
    new = {str(place): True for place in range(50, 60)}
    comparison = promotion.compare_evaluations(
        measured(9, **new),
        measured(9, **dict.fromkeys(new, False)),
        newly_known={"pizza": range(50, 60)},
    )
    assert comparison.verdict == ComparisonVerdict.UNCLEAR


def test_what_was_not_measured_is_no_evidence():
    assert promotion.compare_evaluations(None, measured(12)).verdict == ComparisonVerdict.UNCLEAR
    assert promotion.compare_evaluations(measured(12), None).verdict == ComparisonVerdict.UNCLEAR


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
        assert (
            newest.reason
            == "Not worse than the live model: 12 of 12 test pictures right, the live one 0."
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

    def test_noks_are_those_of_the_test_split(self):
        project = make_trainable()
        dataset = make_dataset(project)
        version = make_model_version(project, ("dark", "light"))
        in_test = dataset.items.filter(split="test").first().sample
        in_train = dataset.items.filter(split="train").first().sample
        for sample in (in_test, in_train):
            make_feedback(make_prediction(sample=sample, model_version=version), "NOK")
        assert promotion.nok_samples(dataset) == [in_test.pk]


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

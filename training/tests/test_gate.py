"""The gate: what passes, what is worse, and what the pictures do not tell."""

from training.runs import gate
from training.runs.gate import ComparisonVerdict, PairedAnswer

MARGIN = 0.05


def answers(
    both: int = 0, lost: int = 0, gained: int = 0, neither: int = 0, *, category: str = "", **fields
) -> list[PairedAnswer]:
    """So many pictures that both models have right, that the candidate loses or gains, or that
    neither has right. They are of four dishes in turn, unless of one category.
    """
    marks = [(True, True)] * both + [(True, False)] * lost
    marks += [(False, True)] * gained + [(False, False)] * neither
    dishes = ("curry", "ramen", "soup", "sushi")
    return [
        PairedAnswer(category or dishes[place % 4], live, candidate, **fields)
        for place, (live, candidate) in enumerate(marks)
    ]


def verdict(pairs: list[PairedAnswer], margin: float = MARGIN) -> ComparisonVerdict:
    return gate.compare_answers(pairs, margin).verdict


def test_a_model_that_answers_alike_is_not_worse():
    comparison = gate.compare_answers(answers(both=60, neither=10), MARGIN)
    assert comparison.passes
    assert comparison.sentence == (
        "Not worse than the live model. 60 of 70 test samples are right; the live model has 60."
    )


def test_one_picture_fewer_decides_nothing():
    assert verdict(answers(both=90, lost=2, gained=1, neither=10)) == ComparisonVerdict.NOT_WORSE


def test_a_loss_that_chance_does_not_explain_is_worse():
    comparison = gate.compare_answers(answers(both=80, lost=7, gained=1), MARGIN)
    assert comparison.verdict == ComparisonVerdict.WORSE
    assert comparison.sentence == (
        "Worse than the live model; chance does not explain that. 81 of 88 test samples are "
        "right; the live model has 87."
    )


def test_few_pictures_prove_little_also_where_both_models_answer_alike():
    comparison = gate.compare_answers(answers(both=30), MARGIN)
    assert comparison.verdict == ComparisonVerdict.UNCLEAR
    assert comparison.sentence == (
        "Not enough evidence: it may be worse by up to 8.3 points, and this project allows 5.0. "
        "About 30 more test samples would tell. 30 of 30 test samples are right; the live model "
        "has 30."
    )


def test_a_project_may_allow_more():
    assert verdict(answers(both=30), margin=0.1) == ComparisonVerdict.NOT_WORSE


def test_where_more_of_the_same_would_not_help_none_are_asked_for():
    comparison = gate.compare_answers(answers(both=30, lost=3, gained=1), MARGIN)
    assert comparison.verdict == ComparisonVerdict.UNCLEAR
    assert "more test" not in comparison.sentence


def test_a_clear_gain_needs_few_pictures():
    assert verdict(answers(both=5, gained=4, neither=3)) == ComparisonVerdict.NOT_WORSE


def test_nine_test_pictures_are_not_enough():
    comparison = gate.compare_answers(answers(gained=9), MARGIN)
    assert comparison.verdict == ComparisonVerdict.UNCLEAR
    assert comparison.sentence.startswith("Not enough evidence: only 9 test samples")


def test_one_category_may_not_pay_for_the_others():
    pairs = answers(both=200, gained=8) + answers(lost=8, category="pizza")
    comparison = gate.compare_answers(pairs, MARGIN)
    assert comparison.verdict == ComparisonVerdict.WORSE
    assert comparison.sentence.startswith(
        "Worse than the live model on “pizza”: 0 of 8 right, the live one 8."
    )


def test_what_users_had_called_wrong_may_not_be_lost_again():
    pairs = answers(both=200, gained=6) + answers(lost=6, is_nok=True)
    comparison = gate.compare_answers(pairs, MARGIN)
    assert comparison.verdict == ComparisonVerdict.WORSE
    assert "had said NOK to: 0 of 6 right, the live one 6." in comparison.sentence


def test_one_such_picture_does_not_decide():
    assert verdict(answers(both=200) + answers(lost=1, is_nok=True)) == ComparisonVerdict.NOT_WORSE


def pizza(gained: int, neither: int = 0) -> list[PairedAnswer]:
    return answers(gained=gained, neither=neither, category="pizza", is_new=True)


def test_a_new_category_is_a_gain():
    old = answers(both=72, lost=3, gained=2, neither=12)
    assert verdict(old) == ComparisonVerdict.UNCLEAR
    comparison = gate.compare_answers(old + pizza(9, neither=1), MARGIN)
    assert comparison.passes
    assert comparison.sentence == (
        "Not worse than the live model. Newly knows “pizza” (9 of 10). On the categories that both "
        "know, 74 of 89 test samples are right; the live model has 75."
    )


def test_and_makes_up_for_no_loss_that_chance_does_not_explain():
    comparison = gate.compare_answers(answers(both=76, lost=6) + pizza(9), MARGIN)
    assert comparison.verdict == ComparisonVerdict.WORSE


def test_nor_for_a_lack_of_pictures_of_the_others():
    assert verdict(answers(both=9) + pizza(9)) == ComparisonVerdict.UNCLEAR


def test_a_new_category_of_which_nothing_is_recognised_is_no_gain():
    assert verdict(answers(both=75, lost=2) + pizza(0, neither=9)) == ComparisonVerdict.UNCLEAR

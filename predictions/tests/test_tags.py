import pytest

from predictions.templatetags.predictions_tags import SHOWN_SCORES, first_scores, further_scores


@pytest.mark.parametrize(
    ("count", "hidden"), [(1, 0), (SHOWN_SCORES, 0), (SHOWN_SCORES + 1, 0), (SHOWN_SCORES + 2, 2)]
)
def test_a_long_list_of_scores_is_folded_but_never_for_a_single_one(count, hidden):
    ranked = [(f"dish {place}", 1 / count) for place in range(count)]
    assert first_scores(ranked) + further_scores(ranked) == ranked
    assert len(further_scores(ranked)) == hidden

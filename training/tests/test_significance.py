"""The interval by which the gate knows that a model is not worse."""

from math import comb

import pytest

from training.evaluation import significance


def test_no_difference_on_few_pictures_may_still_be_a_large_one():
    quantile = significance.Z_ONE_SIDED**2
    for count in (10, 50, 500):
        expected = quantile / (count + quantile)
        assert significance.largest_loss(0, 0, count) == pytest.approx(expected)


def test_a_model_that_is_certainly_better_has_none():
    assert significance.largest_loss(0, 5, 20) < 0


@pytest.mark.parametrize("count", [15, 60])
@pytest.mark.parametrize(("lost", "gained"), [(0.05, 0.0), (0.12, 0.07), (0.3, 0.1)])
def test_it_is_less_than_the_true_loss_in_one_of_twenty_cases(count, lost, gained):
    """The probability of every outcome of which it says less, summed up."""
    fooled = sum(
        comb(count, losses)
        * comb(count - losses, gains)
        * lost**losses
        * gained**gains
        * (1 - lost - gained) ** (count - losses - gains)
        for losses in range(count + 1)
        for gains in range(count - losses + 1 if gained else 1)
        if significance.largest_loss(losses, gains, count) < lost - gained
    )
    assert fooled < 0.06  # it is an approximation; an exact one would be wider

"""What chance explains: the interval of a share, and a test of two models on the same pictures."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import comb, sqrt

ALPHA = 0.05
Z_95 = 1.959963984540054  # 97.5 % quantile of the standard normal distribution
Z_ONE_SIDED = 1.6448536269514722  # its 95 % quantile

PairedCorrectness = tuple[bool, bool]  # whether the first was right, and whether the second was


@dataclass(frozen=True)
class PairedOutcomes:
    """How many pictures both models had right, one alone, or neither."""

    both: int = 0
    first_alone: int = 0
    second_alone: int = 0
    neither: int = 0

    @property
    def count(self) -> int:
        return self.both + self.first_alone + self.second_alone + self.neither

    @property
    def first_right(self) -> int:
        return self.both + self.first_alone

    @property
    def second_right(self) -> int:
        return self.both + self.second_alone

    @property
    def p_value(self) -> float:
        return mcnemar_p_value(self.first_alone, self.second_alone)

    @property
    def p_worse(self) -> float:
        """Return how likely the second would lose so many by chance, if they were equally good."""
        return upper_tail(self.first_alone, self.first_alone + self.second_alone)

    @property
    def largest_loss(self) -> float:
        """Return what the second may be worse by at most, as a share, at 95 % confidence."""
        return largest_loss(self.first_alone, self.second_alone, self.count)

    @property
    def is_second_better(self) -> bool:
        return self.p_value < ALPHA and self.second_alone > self.first_alone

    @property
    def is_first_better(self) -> bool:
        return self.p_value < ALPHA and self.first_alone > self.second_alone


def wilson_interval(hits: int, count: int, *, z: float = Z_95) -> tuple[float, float] | None:
    """Return the Wilson score interval of a share, of 95 % unless `z` says otherwise.

    Unlike the textbook interval it stays within [0, 1] and is not empty for 0 or all hits. None
    without a sample. Source: Wilson 1927, doi:10.1080/01621459.1927.10502953; recommended by Brown,
    Cai & DasGupta 2001, doi:10.1214/ss/1009213286.
    """
    if not count:
        return None
    share, squared = hits / count, z**2
    centre = (share + squared / (2 * count)) / (1 + squared / count)
    half = z / (1 + squared / count) * sqrt(share * (1 - share) / count + squared / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def count_outcomes(marks: Iterable[PairedCorrectness]) -> PairedOutcomes:
    # In the order of the fields of PairedOutcomes
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for each in marks:
        counts[each] += 1
    return PairedOutcomes(*counts.values())


def mcnemar_p_value(first_alone: int, second_alone: int) -> float:
    """Return how likely so large a difference is between two models that are equally good.

    Only the pictures that one model alone had right tell them apart: of equal models each has half
    of those, by chance. The exact two-sided test, 1 without any such picture. It holds for one
    look: who looks every day and stops at the first small value is fooled more often than it says.

    Source: McNemar 1947, doi:10.1007/BF02295996; the exact conditional form as in Fagerland,
    Lydersen & Laake 2013, doi:10.1186/1471-2288-13-91, section "The McNemar exact conditional
    test".
    """
    count = first_alone + second_alone
    # Both tails; at an even split the middle is in both
    return min(1.0, 2 * upper_tail(max(first_alone, second_alone), count))


def upper_tail(heads: int, tosses: int) -> float:
    """Return how likely a fair coin shows at least so many heads."""
    return sum(comb(tosses, hits) for hits in range(heads, tosses + 1)) / 2**tosses


def largest_loss(lost: int, gained: int, count: int) -> float:
    """Return the upper end of a one-sided 95 % score interval of how much worse a model is.

    Args:
        lost: pictures that only the other model had right.
        gained: pictures that this one alone had right.
        count: pictures that both were asked about; at least one.

    Returns:
        A difference of two accuracies in [-1, 1]; below zero the model is better for certain.

    With no picture lost and none gained it is 1.6449²/(count + 1.6449²): few pictures prove
    little, also where both models answer alike.

    Source: Tango 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B, a
    score test that stays at its level with small samples; recommended by Fagerland, Lydersen &
    Laake 2014, doi:10.1002/sim.6148.
    """
    low, high = (lost - gained) / count, 1.0
    # The statistic falls as the assumed loss grows; halving finds where it is just rejected.
    for _step in range(50):
        middle = (low + high) / 2
        if _loss_statistic(lost, gained, count, middle) > -Z_ONE_SIDED:
            low = middle
        else:
            high = middle
    return high


def _loss_statistic(lost: int, gained: int, count: int, loss: float) -> float:
    """Return how many standard errors the seen loss is above an assumed one."""
    # The probability of a gain that fits best, if the loss were the assumed one (Tango, section 3)
    linear = -lost - gained + (2 * count - lost + gained) * loss
    constant = -gained * loss * (1 - loss)
    gain = (sqrt(max(0.0, linear**2 - 8 * count * constant)) - linear) / (4 * count)
    variance = count * (2 * gain + loss * (1 - loss))
    distance = lost - gained - count * loss
    if variance <= 0:
        return 0.0 if not distance else float("-inf") if distance < 0 else float("inf")
    return distance / sqrt(variance)

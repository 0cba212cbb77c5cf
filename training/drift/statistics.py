"""The two tests of drift: how far two distributions are apart, and whether a rate has fallen."""

from collections.abc import Iterable, Sequence
from math import log
from statistics import fmean

import numpy as np
from scipy.special import chdtri

from training.evaluation.significance import wilson_interval

QUANTILES = np.arange(1, 10) / 10
# What practitioners call a large shift; see `index_threshold`
LARGE_INDEX = 0.25
CHANCE_LEVEL = 1e-5

# A project without drift is told of one in that many verdicts at most, on average
VERDICTS_PER_FALSE_ALARM = 10_000
# By what the odds of a wrong answer may have grown; each alternative is best at its own
ODDS = (1.5, 2.5, 5.0)


def decile_edges(reference: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the deciles of a reference, which bound its bins; fewer where many values are equal.

    They are values that occur.
    """
    return np.unique(np.quantile(np.asarray(reference, np.float64), QUANTILES, method="higher"))


def bin_shares(values: Sequence[float] | np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the share of values in each bin, smoothed: half a value more in each.

    An edge belongs to the bin above it. Without smoothing an empty bin would make the index
    infinite.
    """
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    smoothed = counts + 0.5
    return smoothed / smoothed.sum()


def stability_index(expected: np.ndarray, found: np.ndarray) -> float:
    """Return the population stability index of two distributions over the same bins.

    The symmetric divergence of Jeffreys 1946, doi:10.1098/rspa.1946.0056; under this name in
    Siddiqi, "Credit Risk Scorecards", Wiley 2006, whose limits are 0.1 and 0.25.
    """
    return float(((found - expected) * np.log(found / expected)).sum())


def index_threshold(bins: int, expected_count: int, found_count: int, comparisons: int) -> float:
    """Return the index from which a shift is large, and beyond chance.

    Of two samples of one distribution the index is about (1/N + 1/M) times a chi-square of as many
    degrees of freedom as there are bins less one, so 0.25 alone is often reached by two hundred
    values. Source: Yurdakul 2018, "Statistical properties of population stability index",
    https://scholarworks.wmich.edu/dissertations/3208.

    Args:
        comparisons: how many are made at once; the level of chance is divided by them (Bonferroni).
    """
    if bins < 2:
        return LARGE_INDEX
    scale = 1 / expected_count + 1 / found_count
    by_chance = scale * float(chdtri(bins - 1, CHANCE_LEVEL / comparisons))
    return max(LARGE_INDEX, by_chance)


def tolerated_rate(right: int, count: int) -> float:
    """Return the lowest OK rate that first verdicts do not rule out, at 95 % confidence."""
    interval = wilson_interval(right, count)
    return interval[0] if interval else 0.0


def fall_evidence(verdicts: Iterable[bool], tolerated: float, limit: float) -> float:
    """Return the evidence, after the newest verdict, that the rate of OK has fallen at some time.

    An e-detector of Shiryaev-Roberts type: for each alternative the sum, over every verdict at
    which the fall may have begun, of the likelihood ratio since then; then the mean of the
    alternatives. As long as the rate is not below the tolerated one, its expectation after n
    verdicts is at most n, so that the mean time until it reaches a limit is at least the limit,
    in verdicts, however often somebody looks. Beginning later, as with the newest verdicts alone,
    only makes it smaller. Source: Shin, Ramdas & Rinaldo 2022, "E-detectors: a nonparametric
    framework for sequential change detection", arXiv:2203.03532.

    Args:
        verdicts: whether each was an OK, the oldest first.
        limit: the evidence that is enough. More than ten times as much is not kept, so that it
            fades soon when the rate recovers.
    """
    wrong = min(max(1 - tolerated, 0.01), 0.99)
    said = list(verdicts)
    return fmean(_evidence_of(odds, said, wrong, most=10 * limit) for odds in ODDS)


def _evidence_of(times_odds: float, verdicts: Sequence[bool], wrong: float, most: float) -> float:
    """Return the evidence for one alternative; in plain floats, faster than arrays of three."""
    odds = times_odds * wrong / (1 - wrong)
    alternative = odds / (1 + odds)
    if_right, if_wrong = (1 - alternative) / (1 - wrong), alternative / wrong
    evidence = 0.0
    for is_right in verdicts:
        evidence = min(most, (evidence + 1) * (if_right if is_right else if_wrong))
    return evidence


def evidence_share(evidence: float, limit: float) -> float:
    """Return how near the evidence is to the limit, on a scale of its digits: 1 is the limit."""
    return log(max(evidence, 1.0)) / log(limit)

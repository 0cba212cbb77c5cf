"""Whether a project's answers get worse: the last week beside the weeks before, by chance or not.

Only days since the live version was promoted count, so that a new model is not taken for drift.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, lgamma

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from predictions import daily_figures
from predictions.models import DailyFigures, Project, Promotion

DAYS = 30  # in all
RECENT_DAYS = 7
# Asked every day, so the level is strict: a project without drift is told of one in some years
ALPHA = 0.001


class Sign(models.TextChoices):
    """What shows a drift."""

    OK_RATE = "ok_rate", _("the OK rate fell")
    UNFAMILIAR = "unfamiliar", _("more is unlike the training data")


@dataclass(frozen=True)
class Drift:
    """A share of the last week that differs from that of the weeks before beyond chance."""

    sign: Sign
    before: float
    now: float
    p_value: float


def find_drift(project: Project) -> Drift | None:
    """Return the clearest sign that answers are worse than they were; None without one."""
    promotion = Promotion.objects.filter(project=project).order_by("-pk").first()
    if promotion is None:
        return None
    return drift_since(promotion, daily_figures.recent_figures(project, DAYS))


def drift_since(promotion: Promotion, figures: Sequence[DailyFigures]) -> Drift | None:
    """Return the clearest sign in some days' figures, the oldest first and today last."""
    # Not the day itself, on which both versions answered
    since = timezone.localdate(promotion.created_at)
    days = [day for day in figures if day.day > since]
    before, now = days[:-RECENT_DAYS], days[-RECENT_DAYS:]
    found = [
        _compare(Sign.OK_RATE, before, now, lambda day: (day.nok, day.ok + day.nok)),
        _compare(Sign.UNFAMILIAR, before, now, lambda day: (day.unfamiliar, day.predictions)),
    ]
    clear = [each for each in found if each and each.p_value < ALPHA]
    return min(clear, key=lambda each: each.p_value, default=None)


def _compare(
    sign: Sign,
    before: Sequence[DailyFigures],
    now: Sequence[DailyFigures],
    counts: Callable[[DailyFigures], tuple[int, int]],
) -> Drift | None:
    """Compare the share of what is bad; `counts` gives how many of how many on a day."""
    bad_before, all_before = map(sum, zip((0, 0), *map(counts, before), strict=True))
    bad_now, all_now = map(sum, zip((0, 0), *map(counts, now), strict=True))
    if not all_before or not all_now:
        return None
    p_value = fisher_p_value(bad_now, all_now, bad_before, all_before)
    shares = bad_before / all_before, bad_now / all_now
    if sign == Sign.OK_RATE:  # people know it as the share of what is good
        shares = 1 - shares[0], 1 - shares[1]
    return Drift(sign, *shares, p_value)


def fisher_p_value(hits: int, count: int, other_hits: int, other_count: int) -> float:
    """Return how likely chance gives a group at least so many hits, if both have the same rate.

    One-sided and exact, from the hypergeometric distribution. Source: Fisher 1935, "The logic of
    inductive inference", doi:10.2307/2342435.
    """
    total, marked = count + other_count, hits + other_hits
    largest = min(count, marked)
    whole = _log_comb(total, count)
    return min(
        1.0,
        sum(
            exp(_log_comb(marked, seen) + _log_comb(total - marked, count - seen) - whole)
            for seen in range(hits, largest + 1)
            if count - seen <= total - marked
        ),
    )


def _log_comb(count: int, chosen: int) -> float:
    return lgamma(count + 1) - lgamma(chosen + 1) - lgamma(count - chosen + 1)

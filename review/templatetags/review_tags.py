"""What pages of other apps show of a review."""

from collections.abc import Iterable
from typing import Any

from django import template

from predictions.models import Prediction, Sample
from review import decisions
from review.models import Decision
from review.queue import Reason

register = template.Library()

# The class and the icon of a reason's chip
_LOOKS = {
    Reason.NOK: ("s-nok", "x"),
    Reason.UNSURE: ("s-unsure", "ask"),
    Reason.DISAGREEMENT: ("s-unsure", "users"),
    Reason.CONTRADICTION: ("s-unsure", "swap"),
    Reason.UNFAMILIAR: ("", "spark"),
    Reason.ABSTAINED: ("s-unsure", "warn"),
    Reason.LOW_CONFIDENCE: ("s-unsure", "ask"),
    Reason.SECOND_OPINION: ("", "users"),
    Reason.AUDIT: ("", "search"),
}


@register.filter
def reason_class(reason: Reason) -> str:
    return _LOOKS[reason][0]


@register.filter
def reason_icon(reason: Reason) -> str:
    return _LOOKS[reason][1]


@register.simple_tag
def look_up_outcomes(predictions: Iterable[Prediction]) -> str:
    """Look up the decisions about the samples of a list in one query; prints nothing."""
    samples = [prediction.sample for prediction in predictions]
    found = decisions.latest_decisions(samples)
    for sample in samples:
        sample.newest_decision = found.get(sample.pk)  # type: ignore[attr-defined]
    return ""


@register.inclusion_tag("review/_outcome.html")
def review_outcome(sample: Sample) -> dict[str, Any]:
    """Say what was decided about a sample, in a few words with the date.

    One query, or none after `{% look_up_outcomes %}` of the list that it is in.
    """
    decision = (
        sample.newest_decision
        if hasattr(sample, "newest_decision")
        else decisions.latest_decision(sample)
    )
    if decision and decision.outcome == Decision.Outcome.REOPENED:
        decision = None
    return {"decision": decision}

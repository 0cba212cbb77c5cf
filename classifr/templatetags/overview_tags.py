"""How the overview writes reasons and changes."""

from django import template
from django.utils.translation import gettext_lazy as _

from predictions.templatetags.predictions_tags import percent
from review.queue import Reason

register = template.Library()

# Short enough for a chip; its colour is told by the icon and the word too
NAMES = {
    Reason.NOK: (_("NOK"), "s-nok", "x"),
    Reason.UNSURE: (_("Not sure"), "s-unsure", "ask"),
    Reason.DISAGREEMENT: (_("Disagreement"), "s-unsure", "swap"),
    Reason.CONTRADICTION: (_("Contradiction"), "s-unsure", "swap"),
    Reason.REQUESTED: (_("Asked for"), "", "flag"),
    Reason.UNFAMILIAR: (_("Unfamiliar"), "", "spark"),
    Reason.ABSTAINED: (_("No answer"), "s-unsure", "warn"),
    Reason.LOW_CONFIDENCE: (_("In doubt"), "s-unsure", "ask"),
    Reason.SECOND_OPINION: (_("Second opinion"), "", "users"),
    Reason.AUDIT: (_("Audit"), "", "search"),
}


@register.filter
def reason_name(reason: Reason) -> str:
    return str(NAMES[reason][0])


@register.filter
def reason_class(reason: Reason) -> str:
    return NAMES[reason][1]


@register.filter
def reason_icon(reason: Reason) -> str:
    return NAMES[reason][2]


@register.filter
def signed_percent(change: float) -> str:
    """Write a relative change with its sign."""
    return f"{'+' if change > 0 else '−' if change < 0 else '±'}{percent(abs(change))}"

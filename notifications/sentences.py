"""What notifications say, by the key that is stored with them.

Parameters whose name ends in `_share` are shares, and are written as percentages. A key stays for
as long as rows with it may be there.
"""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from notifications.models import Kind, Notification
from predictions.templatetags.predictions_tags import condition_name, percent

SENTENCES: Mapping[str, Any] = {
    "run_done": _("Run %(number)s has ended."),
    "run_promoted": _("Run %(number)s has ended: version %(version)s is live now."),
    "run_failed": _("Run %(number)s has failed: %(error)s"),
    "gate_refused": _(
        "Run %(number)s has ended, and version %(version)s was not promoted. The page of the run "
        "says why."
    ),
    "drift_ok_rate": _(
        "The OK rate has fallen to %(now_share)s; it was %(before_share)s when version %(version)s "
        "went live."
    ),
    "drift_ok_rate_where": _(
        "Where %(condition)s is %(value)s, the OK rate has fallen to %(now_share)s; it was "
        "%(before_share)s when version %(version)s went live."
    ),
    "drift_scores": _(
        "The model is sure of its answers more or less often than when version %(version)s went "
        "live."
    ),
    "drift_scores_where": _(
        "Where %(condition)s is %(value)s, the model is sure of its answers more or less often "
        "than when version %(version)s went live."
    ),
    "drift_familiarity": _(
        "What is sent is not as familiar to the model as when version %(version)s went live."
    ),
    "drift_familiarity_where": _(
        "Where %(condition)s is %(value)s, what is sent is not as familiar to the model as when "
        "version %(version)s went live."
    ),
    "disk": _("The disk with the data of Classifr is %(used_share)s full (%(host)s)."),
    "quota": _("You have sent %(count)s of the %(limit)s pictures that you may send today."),
    "nok_labelled": _("A reviewer answered your NOK: it is %(category)s."),
    "nok_confirmed": _("A reviewer looked at your NOK: the model was right, it is %(category)s."),
    "nok_discarded": _("A reviewer looked at your NOK: the sample is of no use for training."),
}


def sentence_of(notification: Notification) -> str:
    """Return what a notification says, in the language of now."""
    params = {name: _written(name, value) for name, value in notification.params.items()}
    try:
        return str(SENTENCES[notification.text]) % params
    except KeyError:  # written by another release
        return str(Kind(notification.kind).label)


def _written(name: str, value: Any) -> str:
    if name.endswith("_share"):
        return percent(value)
    return condition_name(value) if name == "condition" else str(value)

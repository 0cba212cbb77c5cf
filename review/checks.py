"""System checks of the settings of this app."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register
def check_review_settings(**kwargs: Any) -> list[CheckMessage]:
    wrong = []
    if not 0 <= settings.REVIEW_LOW_CONFIDENCE <= 1:
        wrong.append(("REVIEW_LOW_CONFIDENCE", "a probability from 0 to 1", "review.E001"))
    if not 0 <= settings.REVIEW_AUDIT_PERCENT <= 100:
        wrong.append(("REVIEW_AUDIT_PERCENT", "a percentage from 0 to 100", "review.E002"))
    if settings.REVIEW_RECENT < 1:
        wrong.append(("REVIEW_RECENT", "a number of answers, at least 1", "review.E003"))
    if settings.REVIEW_LEASE_SECONDS < 30:
        wrong.append(
            (
                "REVIEW_LEASE_SECONDS",
                "at least 30: a picture must be looked at first",
                "review.E004",
            )
        )
    return [
        Error(f"{name} is {getattr(settings, name)!r}.", hint=f"Set it to {expected}.", id=error_id)
        for name, expected, error_id in wrong
    ]

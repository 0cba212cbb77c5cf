"""What can go wrong with Custom Vision, in the few kinds that callers distinguish.

    CustomVisionError        503
    ├── ServiceBusy          no answer now, the same call may be made again later
    │   └── ResponseLost     ... but nobody knows whether this one took effect
    ├── AccessDenied         wrong key, not enough rights, quota used up: a maintainer has to act
    └── RequestRejected      the service understood and said no; `reason` is its own code

Messages quote the service where that helps, but never word for word: our key is taken out.
"""

import email.utils
import math
import time
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from common.errors import Unavailable

MAX_TEXT = 300
USUAL_WAIT_SECONDS = 5.0  # where the service does not say how long
MAX_WAIT_SECONDS = 24 * 3600.0


class CustomVisionError(Unavailable):
    """Base of all; `status` is ours, `answered` that of the service (0: no answer)."""

    code = "custom_vision"

    def __init__(
        self, message: object, *, answered: int = 0, retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.answered = answered


class ServiceBusy(CustomVisionError):
    """No answer now; `asked_seconds` is the pause that the service asked for, or 0."""

    code = "custom_vision_busy"
    asked_seconds = 0.0


class ResponseLost(ServiceBusy):
    code = "custom_vision_answer_lost"


class AccessDenied(CustomVisionError):
    code = "custom_vision_not_allowed"


class RequestRejected(CustomVisionError):
    code = "custom_vision_refused"

    def __init__(self, message: object, *, reason: str, answered: int) -> None:
        super().__init__(message, answered=answered)
        self.reason = reason


def busy_error(seconds: float) -> ServiceBusy:
    """Return the error for a service that does nothing now and asks for patience."""
    wait = max(1, math.ceil(seconds))
    sentence = _("Azure Custom Vision is busy. Try again in %(seconds)d s.") % {"seconds": wait}
    return ServiceBusy(sentence, retry_after_seconds=wait)


def no_response_error(seconds: float = USUAL_WAIT_SECONDS) -> ResponseLost:
    """Return the error for a service that did not answer, or broke while it did."""
    wait = max(1, math.ceil(seconds))
    sentence = _("Azure Custom Vision does not answer. Try again in %(seconds)d s.") % {
        "seconds": wait
    }
    return ResponseLost(sentence, retry_after_seconds=wait)


def error_from_response(
    status: int, body: Any, headers: Mapping[str, str], secret: str
) -> CustomVisionError:
    """Return the error for an answer of 400 or more."""
    # The service's form of an error, {"code", "message"}, or the gateway's, {"error": {...}}
    inner = body.get("error", body) if isinstance(body, dict) else {}
    inner = inner if isinstance(inner, dict) else {}
    reason = str(inner.get("code") or "")
    text = str(inner.get("message") or inner.get("code") or _("It gives no reason."))
    text = text.replace(secret, "…")[:MAX_TEXT] if secret else text[:MAX_TEXT]
    if status in (408, 429) or status >= 500:
        asked = retry_after(headers)
        # Only then is it certain that the service did nothing with the request
        was_not_done = status == 429 or (status == 503 and asked)
        error = (busy_error if was_not_done else no_response_error)(asked or USUAL_WAIT_SECONDS)
        error.answered, error.asked_seconds = status, asked
        return error
    if status == 401:
        sentence = _(
            "Azure Custom Vision does not accept our key. Check the endpoint and the key in the "
            "settings."
        )
        return AccessDenied(sentence, answered=status)
    if status == 403 or reason in ("BadRequestExceededQuota", "BadRequestExceedProjectLimit"):
        sentence = _(
            "Azure Custom Vision refuses: %(reason)s Check the resource's quota and rights."
        )
        return AccessDenied(sentence % {"reason": _sentence(text)}, answered=status)
    sentence = _("Azure Custom Vision refuses: %(reason)s")
    return RequestRejected(sentence % {"reason": _sentence(text)}, reason=reason, answered=status)


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that `Retry-After` asks for, as a number or a date; 0 without one."""
    value = headers.get("Retry-After") or ""
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return 0.0
    # "inf" and "nan" are floats, too
    return min(max(0.0, seconds), MAX_WAIT_SECONDS) if math.isfinite(seconds) else 0.0


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…", "。")) else f"{text}."

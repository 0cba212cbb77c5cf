"""What can go wrong with Custom Vision, as few kinds that callers act upon, each with a sentence
without any key.

    CustomVisionError        503
    ├── Busy                 no answer now, the same call may be made again later
    │   └── AnswerLost       ... but nobody knows whether this one took effect
    ├── NotAllowed           wrong key, not enough rights, quota used up: a maintainer has to act
    └── Refused              the service understood and said no; `reason` is its own code

The texts of the service are kept where they help, but never as they came: whatever looks like our
key is taken out.
"""

import email.utils
import math
import time
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from common.errors import Unavailable

MAX_TEXT = 300
USUAL_WAIT_SECONDS = 5.0  # what is told where the service says nothing
MAX_WAIT_SECONDS = 24 * 3600.0


class CustomVisionError(Unavailable):
    """Base of all; `status` is ours, `answered` the service's (0: it did not answer)."""

    code = "custom_vision"

    def __init__(
        self, message: object, *, answered: int = 0, retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.answered = answered


class ServiceBusy(CustomVisionError):
    """`asked_seconds` is the pause that the service itself asked for, 0 where it did not."""

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
    """Return the error for a service that asks for patience."""
    wait = max(1, math.ceil(seconds))
    sentence = _("The prediction service is busy. Try again in %(seconds)d s.") % {"seconds": wait}
    return ServiceBusy(sentence, retry_after_seconds=wait)


def no_response_error(seconds: float = USUAL_WAIT_SECONDS) -> ResponseLost:
    """Return the error for a service that did not answer, or broke while it did."""
    wait = max(1, math.ceil(seconds))
    sentence = _("The prediction service does not answer. Try again in %(seconds)d s.") % {
        "seconds": wait
    }
    return ResponseLost(sentence, retry_after_seconds=wait)


def error_from_response(
    status: int, body: Any, headers: Mapping[str, str], secret: str
) -> CustomVisionError:
    """Return the error that an answer of 400 or more stands for."""
    reason, text = _reason_and_text(body)
    text = text.replace(secret, "…")[:MAX_TEXT] if secret else text[:MAX_TEXT]
    if status in (408, 429) or status >= 500:
        return _for_now(status, retry_after(headers))
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


def _for_now(status: int, asked: float) -> ServiceBusy:
    was_not_done = status == 429 or (status == 503 and asked)
    error = (
        busy_error(asked or USUAL_WAIT_SECONDS)
        if was_not_done
        else no_response_error(asked or USUAL_WAIT_SECONDS)
    )
    error.answered, error.asked_seconds = status, asked
    return error


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that `Retry-After` asks for, given as seconds or as a date; 0 where it
    says nothing.
    """
    value = headers.get("Retry-After") or ""
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return 0.0
    return min(max(0.0, seconds), MAX_WAIT_SECONDS) if math.isfinite(seconds) else 0.0


def _reason_and_text(body: Any) -> tuple[str, str]:
    """Return code and message of an answer in the service's form or in that of the gateway."""
    inner = body.get("error", body) if isinstance(body, dict) else {}
    inner = inner if isinstance(inner, dict) else {}
    return str(inner.get("code") or ""), str(
        inner.get("message") or inner.get("code") or _("It gives no reason.")
    )


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…", "。")) else f"{text}."

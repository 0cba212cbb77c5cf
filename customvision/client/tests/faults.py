"""How the service can fail: arguments of `StandIn.fail`, together with an operation."""

from dataclasses import dataclass
from typing import Any


class Refusal(Exception):
    """The service says no, in its own form: {"code", "message"}."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message}


@dataclass(frozen=True)
class Fault:
    """One failed answer.

    `status` 0 is no answer at all: the connection is reset. With `done`, the operation takes effect
    all the same, and only its answer is lost. A `slow_seconds` alone delays an answer that is
    otherwise right.
    """

    status: int = 0
    body: Any = None
    retry_after: str = ""
    location: str = ""
    reason: str = ""
    slow_seconds: float = 0
    done: bool = False

    @property
    def only_delays(self) -> bool:
        return bool(self.slow_seconds) and not self.status


def gateway(status: int, message: str) -> dict[str, Any]:
    """Return the form in which the gateway before the service refuses."""
    return {"error": {"code": str(status), "message": message}}


def too_many(retry_after: str = "1") -> Fault:
    message = (
        "Requests to the CreateImagesFromFiles Operation under Custom_Vision_Training_3.3 have "
        "exceeded rate limit of"
        " your current Custom_Vision.Training F0 pricing tier. Please retry after 1 second."
    )
    return Fault(429, gateway(429, message), retry_after, reason="Too Many Requests")


def server_error(*, done: bool = False) -> Fault:
    return Fault(
        500,
        {"code": "ErrorUnknown", "message": "The request failed with an unknown error."},
        done=done,
    )


def unavailable(retry_after: str = "") -> Fault:
    return Fault(
        503, gateway(503, "The service is unavailable."), retry_after, reason="Service Unavailable"
    )


def reset(*, done: bool = False) -> Fault:
    return Fault(done=done)


def slow(seconds: float) -> Fault:
    return Fault(slow_seconds=seconds)


def wrong_key() -> Fault:
    message = (
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide "
        "a valid key for an"
        " active subscription and use a correct regional API endpoint for your resource."
    )
    return Fault(401, gateway(401, message), reason="Access Denied")


def out_of_calls() -> Fault:
    """The month's predictions of a free resource are used up."""
    message = "Out of call volume quota. Quota will be replenished in 12.03:04:05."
    return Fault(403, gateway(403, message), reason="Quota Exceeded")


def quota_reached() -> Fault:
    """A limit of the tier on what is kept: images, projects, tags."""
    return Fault(
        400,
        {"code": "BadRequestExceededQuota", "message": "The quota of this resource is exceeded."},
    )

"""The two forms in which Custom Vision refuses: the service's own, and the gateway's for keys and
too many calls.

Texts are English and not translated, as the service's are: programs compare them.
"""

from typing import Any


class ApiError(Exception):
    """A refusal of the service: {"code", "message"}, the code one of those in the OpenAPI files."""

    def __init__(self, code: str, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or _status_of(code)

    @property
    def body(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message}


# The gateway's statuses as the specification names such refusals
_GATEWAY_CODES = {401: "Forbidden", 404: "NotFound", 429: "BadRequestExceededQuota"}


class GatewayError(Exception):
    """A refusal before the service is reached: {"error": {"code", "message"}, "code", "message"}.

    The gateway of Azure sends `error` alone, which programs that read raw JSON look for; the
    specification knows `code` and `message` alone, which generated clients look for.
    """

    def __init__(
        self, status: int, message: str, *, reason: str = "", retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds

    @property
    def body(self) -> dict[str, Any]:
        return {
            "error": {"code": str(self.status), "message": self.message},
            "code": _GATEWAY_CODES[self.status],
            "message": self.message,
        }


def wrong_key() -> GatewayError:
    message = (
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide "
        "a valid key for an"
        " active subscription and use a correct regional API endpoint for your resource."
    )
    return GatewayError(401, message, reason="Access Denied")


def no_such_resource() -> GatewayError:
    return GatewayError(404, "Resource not found")


def not_implemented(what: str) -> ApiError:
    """Return the refusal of an operation or option that Custom Vision has and Classifr has not."""
    return ApiError(
        "BadRequestNotSupported", f"Classifr does not implement {what}. See docs/customvision.md."
    )


def bad_image_format(request_id: str) -> ApiError:
    return ApiError("BadRequestImageFormat", f"Bad Request Image Format, Uri: {request_id}")


def _status_of(code: str) -> int:
    for start, status in (
        ("BadRequest", 400),
        ("Forbidden", 403),
        ("NotFound", 404),
        ("Conflict", 409),
    ):
        if code.startswith(start):
            return status
    return 415 if code == "UnsupportedMediaType" else 500

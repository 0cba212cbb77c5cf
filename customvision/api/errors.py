"""The two forms of error of Custom Vision: the service's own, and its gateway's.

The gateway answers for keys, unknown addresses and rate limits. Messages are in English and not
translated, like the service's: programs compare them.
"""

from typing import Any

# The OpenAPI files list the codes without a status; the beginning of a code tells it
_STATUS_BY_PREFIX = {
    "BadRequest": 400,
    "Forbidden": 403,
    "NotFound": 404,
    "Conflict": 409,
    "UnsupportedMediaType": 415,
}


class ApiError(Exception):
    """An error of the service, {"code", "message"}; the code is one of the OpenAPI files."""

    def __init__(self, code: str, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or next(
            (known for prefix, known in _STATUS_BY_PREFIX.items() if code.startswith(prefix)), 500
        )

    @property
    def body(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message}


# The gateway's statuses as the specification names such refusals
_GATEWAY_CODES = {401: "Forbidden", 404: "NotFound", 429: "BadRequestExceededQuota"}


class GatewayError(Exception):
    """An error before the service is reached: {"error": {"code", "message"}, "code", "message"}.

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
    """Return the error for what Custom Vision has and Classifr does not."""
    return ApiError(
        "BadRequestNotSupported", f"Classifr does not implement {what}. See docs/customvision.md."
    )


def bad_image_format(request_id: str) -> ApiError:
    return ApiError("BadRequestImageFormat", f"Bad Request Image Format, Uri: {request_id}")

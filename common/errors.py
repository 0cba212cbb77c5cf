"""What callers can get wrong, or must wait for, as one small tree.

    DomainError            400  base: a stable code, a sentence, fields, seconds to wait
    ├── InvalidInput       400  what was sent cannot be used
    ├── NotFound           404  there is no such thing (for this caller)
    ├── Conflict           409  not in this state
    ├── QuotaReached       429  too much, too fast: `retry_after_seconds` says when again
    └── Unavailable        503  a service behind us does not answer now

Rooms derive their own from these. The API and the page render each the same way everywhere.
"""

from collections.abc import Mapping, Sequence


class DomainError(Exception):
    """Something the caller can understand and act on."""

    code = "error"
    status = 400

    def __init__(
        self,
        message: object,
        *,
        code: str | None = None,
        fields: Mapping[str, Sequence[str]] | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.fields = dict(fields or {})
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return str(self.message)


class InvalidInput(DomainError):
    code = "invalid"


class NotFound(DomainError):
    code = "not_found"
    status = 404


class Conflict(DomainError):
    code = "conflict"
    status = 409


class QuotaReached(DomainError):
    code = "quota_reached"
    status = 429


class Unavailable(DomainError):
    code = "unavailable"
    status = 503

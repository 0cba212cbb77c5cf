"""Calls to Custom Vision through the official SDK, within a time budget that holds.

The retries of the SDK are switched off, because they differ by verb (GET and DELETE are tried four
times, POST never) and stretch a time-out of t seconds to more than 4 t. Here every call has one
budget, whatever is tried.
"""

import random
import threading
import time
from typing import Any

from customvision.client import errors
from customvision.client.circuit_breaker import CircuitBreaker
from customvision.client.errors import ResponseLost, ServiceBusy
from customvision.client.rate_limits import RateLimiter, RateLimitExceeded
from customvision.client.resource import Resource

CONNECT_SECONDS, CONNECT_SHARE = 2.0, 0.2  # of a try: the rest is for the answer
FIRST_PAUSE_SECONDS = 0.25
MAX_PAUSE_SECONDS = 8.0
NEVER = 10**9
SHORTEST_CALL_SECONDS = 0.2  # with less time left there is no point in another try


class CustomVisionClient:
    """One resource; thread-safe, with one pool of connections that stay open.

    Args:
        resource: whom to ask.
        per_second: how many calls the tier allows.
        try_seconds: how long one try may take, so that a budget has room for a second one.
        breaker: tells when not to call the service; None for a caller with patience, like a
            trainer.
    """

    def __init__(
        self,
        resource: Resource,
        *,
        per_second: int,
        try_seconds: float = 30.0,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self.resource = resource
        self.try_seconds = try_seconds
        self.limits = RateLimiter(per_second)
        self.breaker = breaker or CircuitBreaker(most_failures=NEVER)
        self._sdk: Any = None
        self._lock = threading.Lock()

    def call(
        self, operation: str, *arguments: Any, within: float, repeat: bool = True, **options: Any
    ) -> Any:
        """Call an operation by the name of the SDK's method, and return what that returns.

        Args:
            operation: for example `classify_image`; `arguments` and `options` go to it.
            within: seconds for everything: waiting for the tier, all tries, the pauses between
                them.
            repeat: whether doing it twice does no harm. If not, it is tried again only when the
                service said that it did nothing.

        Raises:
            ServiceBusy: it could not be done in time, with the seconds to wait.
            ResponseLost: the same, and it may have been done.
            AccessDenied: the key, the rights or the quota do not suffice.
            RequestRejected: the service says no.
        """
        deadline = time.monotonic() + within
        tries = 0
        failed: ServiceBusy | None = None
        while True:
            try:
                return self._try(operation, arguments, options, deadline)
            except ServiceBusy as error:
                # What the tries before found says more than that another is not worth while
                if isinstance(error, _Resting) and failed is not None:
                    raise failed from None
                tries += 1
                pause = _pause(tries, error)
                left = deadline - time.monotonic() - SHORTEST_CALL_SECONDS
                # Nothing to gain by another try, no time for it, or harm done by a second effect
                if (
                    isinstance(error, _Resting)
                    or pause > left
                    or (isinstance(error, ResponseLost) and not repeat)
                ):
                    raise
                failed = error
            time.sleep(pause)
            # A busy machine sleeps for longer than asked
            if time.monotonic() > deadline - SHORTEST_CALL_SECONDS:
                raise failed

    def _try(
        self, operation: str, arguments: tuple, options: dict[str, Any], deadline: float
    ) -> Any:
        if (rest := self.breaker.ask()) > 0:
            raise _Resting(errors.busy_error(rest))
        try:
            with self.limits.one(deadline - time.monotonic() - SHORTEST_CALL_SECONDS):
                answer = self._send(operation, arguments, options, deadline - time.monotonic())
        except RateLimitExceeded as error:
            self.breaker.gave_up()
            raise _Resting(errors.busy_error(error.seconds)) from None
        except ServiceBusy as error:
            self.breaker.failed(error.asked_seconds)
            raise
        except errors.CustomVisionError:
            self.breaker.worked()  # the service answered, if only with an error
            raise
        except BaseException:
            # A bug of ours, or the process ends: a half-open breaker must not wait for us for ever
            self.breaker.gave_up()
            raise
        self.breaker.worked()
        return answer

    def _send(self, operation: str, arguments: tuple, options: dict[str, Any], left: float) -> Any:
        # Imported late: a web process that never asks Azure does not pay for the SDK
        from azure.core.exceptions import AzureError
        from msrest.exceptions import ClientException, HttpOperationError

        seconds = min(self.try_seconds, left)
        connect = min(CONNECT_SECONDS, seconds * CONNECT_SHARE)
        try:
            method = getattr(self._client(), operation)
            return method(*arguments, timeout=(connect, seconds - connect), **options)
        # Raised without a cause: the SDK's errors hold the request, and the request the key
        except HttpOperationError as error:
            response: Any = error.response
            try:
                body = response.json()
            except ValueError:
                body = None
            raise errors.error_from_response(
                response.status_code, body, response.headers, self.resource.key
            ) from None
        except (ClientException, AzureError, OSError):
            raise errors.no_response_error() from None

    def _client(self) -> Any:
        with self._lock:
            if self._sdk is None:
                from customvision.client import sdk

                self._sdk = sdk.open_client(self.resource, connections=self.limits.per_second)
            return self._sdk


class _Resting(ServiceBusy):
    """Nothing was sent, and another try within the budget would end the same way."""

    def __init__(self, error: ServiceBusy) -> None:
        super().__init__(error.message, retry_after_seconds=error.retry_after_seconds)


def _pause(tries: int, error: ServiceBusy) -> float:
    """Return the seconds before the next try: what the service asked for, plus full jitter.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("full
    jitter").
    """
    longest = min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**tries)
    return error.asked_seconds + random.uniform(0, longest)  # noqa: S311

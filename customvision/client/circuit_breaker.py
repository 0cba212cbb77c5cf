"""A circuit breaker: after several failures in a row the service is not called for a while.

Source: M. Nygard, "Release It!", 2nd ed. 2018, ch. 5 (closed, open, half-open).
"""

import threading
import time
from collections.abc import Callable


class CircuitBreaker:
    """Counts failures in a row, over all threads.

    Closed: calls go through. Open, after `most_failures`: none does, for `rest_seconds`. Half-open,
    after that: one call goes through as a probe. If it succeeds the breaker closes, else it opens
    again.
    """

    def __init__(
        self,
        *,
        most_failures: int = 5,
        rest_seconds: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most_failures = most_failures
        self.rest_seconds = rest_seconds
        self._clock = clock
        self._failures = 0
        self._open_until = 0.0
        self._probing = False
        self._lock = threading.Lock()

    def ask(self) -> float:
        """Return 0 if a call may go through, else the seconds to wait.

        After 0 the caller must report the end of its call: `worked`, `failed` or `gave_up`.
        """
        with self._lock:
            if self._failures < self.most_failures:
                return 0.0
            if (left := self._open_until - self._clock()) > 0:
                return left
            # Half-open: one probe at a time, the other threads wait for what comes of it
            if self._probing:
                return self.rest_seconds
            self._probing = True
            return 0.0

    def worked(self) -> None:
        with self._lock:
            self._failures, self._probing = 0, False

    def failed(self, wait_seconds: float = 0.0) -> None:
        """Count a failure; once open, wait for at least the seconds that the service asked for."""
        with self._lock:
            self._failures += 1
            self._probing = False
            self._open_until = self._clock() + max(self.rest_seconds, wait_seconds)

    def gave_up(self) -> None:
        """Report a call that ended for a reason that says nothing about the service."""
        with self._lock:
            self._probing = False

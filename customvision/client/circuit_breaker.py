"""A circuit breaker: after several failures in a row nobody waits for the service for a while, then
one call tries it.

Source: M. Nygard, "Release It!", 2nd ed. 2018, ch. 5 (closed, open, half-open).
"""

import threading
import time
from collections.abc import Callable


class CircuitBreaker:
    """Counts failures in a row over all threads.

    Closed: calls go through. Open, after `most_failures`: none does, for `rest_seconds`. Half-open,
    then: one call goes through as a probe; when it works the breaker closes, when it fails it opens
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
        """Return 0 where a call may go through, else the seconds to wait. After 0, tell how the
        call went.
        """
        with self._lock:
            if self._failures < self.most_failures:
                return 0.0
            if (left := self._open_until - self._clock()) > 0:
                return left
            if self._probing:
                return self.rest_seconds
            self._probing = True
            return 0.0

    def worked(self) -> None:
        with self._lock:
            self._failures, self._probing = 0, False

    def failed(self, wait_seconds: float = 0.0) -> None:
        """Count a failure; a service that asked for `wait_seconds` is left alone for so long at
        least, once open.
        """
        with self._lock:
            self._failures += 1
            self._probing = False
            self._open_until = self._clock() + max(self.rest_seconds, wait_seconds)

    def gave_up(self) -> None:
        """Tell that a call ended for a reason that says nothing of the service."""
        with self._lock:
            self._probing = False

"""How many calls a pricing tier allows per second, and at a time.

The figures are those of the service's page on limits and quotas, per resource. Each process counts
for itself; if several together send too many, the service answers 429, which `client` waits for.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PREDICTIONS_PER_SECOND = {"F0": 2, "S0": 10}  # stored by the service
PREDICTIONS_PER_SECOND_UNKEPT = {"F0": 2, "S0": 20}
OTHER_CALLS_PER_SECOND = {"F0": 10, "S0": 10}


class RateLimitExceeded(Exception):
    """This call would have to wait for longer than it may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class RateLimiter:
    """Lets `per_second` calls begin in any second, and as many be under way."""

    def __init__(
        self,
        per_second: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.per_second = per_second
        self._clock = clock
        self._sleep = sleep
        # When the last ones were allowed to begin
        self._begun: deque[float] = deque(maxlen=per_second)
        self._lock = threading.Lock()
        self._under_way = threading.BoundedSemaphore(per_second)

    @contextmanager
    def one(self, most_seconds: float) -> Iterator[None]:
        """Wait until a call may begin. Raises RateLimitExceeded after `most_seconds`."""
        started = self._clock()
        if not self._under_way.acquire(timeout=max(0.0, most_seconds)):
            raise RateLimitExceeded(1.0)
        try:
            left = most_seconds - (self._clock() - started)
            if (wait := self._reserve(left)) > 0:
                self._sleep(wait)  # outside the lock, so that others can reserve meanwhile
            yield
        finally:
            self._under_way.release()

    def _reserve(self, most_seconds: float) -> float:
        """Reserve the next free moment, and return the seconds until then."""
        with self._lock:
            now = self._clock()
            place = now
            # Any second may hold `per_second` beginnings, so look at the one that many calls ago
            if len(self._begun) == self.per_second:
                place = max(now, self._begun[0] + 1.0)
            if place - now > most_seconds:
                raise RateLimitExceeded(place - now)
            self._begun.append(place)
            return place - now

"""A lock that is handed on in turns: whoever asks most does not get it most."""

import threading
from collections import deque


class Turns:
    """Held by one thread at a time, and handed on to another owner's thread where one waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[object, threading.Event]] = deque()
        self._is_taken = False
        self._owner: object = None

    def take(self, owner: object, *, timeout: float) -> bool:
        """Wait for one's turn at most so many seconds; return whether it came."""
        mine = (owner, threading.Event())  # one each, so that a hand-over wakes nobody else
        with self._lock:
            if not self._is_taken:
                self._is_taken, self._owner = True, owner
                return True
            self._waiting.append(mine)
        if mine[1].wait(timeout):
            return True
        with self._lock:
            if mine not in self._waiting:
                return True  # handed over in this very moment
            self._waiting.remove(mine)
            return False

    def give_back(self) -> None:
        with self._lock:
            if not self._waiting:
                self._is_taken = False
                return
            # Still taken: it goes from hand to hand, and no newcomer can get in between.
            following = next(
                (one for one in self._waiting if one[0] != self._owner), self._waiting[0]
            )
            self._waiting.remove(following)
            self._owner = following[0]
            following[1].set()

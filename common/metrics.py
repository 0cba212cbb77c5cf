"""Counters that each process keeps for Prometheus; `classifr.metrics` shows those of all.

With metrics off they are numbers in memory. Else the settings name a folder that the processes of
a machine share (`PROMETHEUS_MULTIPROC_DIR`), from which any web process answers for all of them.
"""

from prometheus_client import Counter

MOST_VALUES = 300
OTHER = "other"

storage_errors = Counter("classifr_storage_errors", "Calls of a storage that failed.", ["storage"])


class BoundedLabel:
    """Lets the first `most` values of a label through; all others count as one.

    Each combination of labels costs Prometheus memory for ever, whoever makes them up.
    """

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        if value in self._seen:
            return value
        if len(self._seen) >= self._most:
            return OTHER
        self._seen.add(value)
        return value

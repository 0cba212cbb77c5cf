"""What forbids deleting a picture or changing a verdict: reasons that only apps above know.

They register a condition when they start; this app asks all of them in one query and knows none by
name.

    @holds.settles                        in review/holds.py, imported by ReviewConfig.ready()
    def decided() -> Exists: ...
"""

from collections.abc import Callable
from functools import reduce
from operator import or_

from django.db.models import Exists, Q

HoldCondition = Callable[[], Exists]  # about the sample that `OuterRef("pk")` stands for

_keeping: list[HoldCondition] = []
_settling: list[HoldCondition] = []


def blocks_deletion(condition: HoldCondition) -> HoldCondition:
    """Register a reason to keep a sample's picture whatever the retention setting says."""
    _keeping.append(condition)
    return condition


def locks_feedback(condition: HoldCondition) -> HoldCondition:
    """Register a sign that a sample was decided: its verdicts stay as they are, and its picture."""
    _settling.append(condition)
    return blocks_deletion(condition)


def deletion_blocked() -> Q:
    return _any(_keeping)


def feedback_locked() -> Q:
    return _any(_settling)


def _any(conditions: list[HoldCondition]) -> Q:
    # Begins with what is never true: without any condition nothing is held.
    return reduce(or_, (Q(condition()) for condition in conditions), Q(pk__in=[]))

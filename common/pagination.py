"""Pages by key: no OFFSET and no COUNT, so that the last page costs what the first does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class KeysetPage(Generic[M]):
    """Some rows of a list; `next_key` is what the next page begins after, or None on the last."""

    rows: Sequence[M]
    next_key: Any


def keyset_page(
    rows: QuerySet[M], *, after: Any = None, size: int, key: str = "-pk"
) -> KeysetPage[M]:
    """Return the rows that follow the key `after`, or the first ones.

    Args:
        key: what to sort by, as for `order_by`; no two rows may share a value, and an index has to
            know the order.
    """
    name, comparison = (key[1:], "lt") if key.startswith("-") else (key, "gt")
    if after is not None:
        rows = rows.filter(**{f"{name}__{comparison}": after})
    # One more than is shown tells whether there is a next page
    found = list(rows.order_by(key)[: size + 1])
    is_last = len(found) <= size
    return KeysetPage(found[:size], None if is_last else getattr(found[size - 1], name))

"""Commits that outlive a power cut."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import connection, transaction

_is_within: ContextVar[bool] = ContextVar("within a transaction that is flushed", default=False)


@contextmanager
def durable_transaction() -> Iterator[None]:
    """Run a transaction that is on the disk when it has ended, and every earlier one with it.

    PostgreSQL's always are. SQLite, as our settings have it, flushes its write-ahead log some time
    later: the crash of a process loses nothing, a power cut the last seconds. To flush for every
    picture would cost a slow disk most of its time;
    https://www.sqlite.org/pragma.html#pragma_synchronous. Within another of its kind that one
    flushes.

    Raises:
        RuntimeError: within `transaction.atomic`, on every database. That one would decide how it
            is written, so the promise could not be kept: the outermost transaction has to be
            `durable_transaction`.
    """
    if _is_within.get():
        with transaction.atomic():
            yield
        return
    # SQLite sets nothing within a transaction: that of a test case goes on as it is, any other is
    # refused below.
    flushes = connection.vendor == "sqlite" and not connection.in_atomic_block
    if flushes:
        _flush_at_commit("FULL")
    token = _is_within.set(True)
    try:
        with transaction.atomic(durable=True):
            yield
    finally:
        _is_within.reset(token)
        if flushes:
            _flush_at_commit("NORMAL")


def _flush_at_commit(level: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA synchronous={level}")

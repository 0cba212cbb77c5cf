"""Commits that outlive a power cut."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def on_disk() -> Iterator[None]:
    """Run a transaction that is on the disk when it has ended, and every earlier one with it: what people said.

    PostgreSQL's always are. SQLite, as our settings have it, flushes its write-ahead log some time later: the crash of
    a process loses nothing, a power cut the last seconds. To flush for every picture would cost a slow disk most of
    its time; https://www.sqlite.org/pragma.html#pragma_synchronous. Inside another transaction that one decides.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        with transaction.atomic():
            yield
        return
    _flush_at_commit("FULL")
    try:
        with transaction.atomic():
            yield
    finally:
        _flush_at_commit("NORMAL")


def _flush_at_commit(level: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA synchronous={level}")

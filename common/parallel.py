"""Work by several threads, in order and some items ahead, if it lets go of Python's lock."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from django.utils import translation

from common.processes import usable_core_count

Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel_map(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int | None = None,
    ahead: int | None = None,
) -> Generator[Result, None, None]:
    """Yield `work(item)` of every item, in order, while other threads work on the next ones.

    `work` speaks the caller's language, but must not use the database: a connection is its thread's
    own. What it raises is raised at that item's turn. However many items there are, few results
    wait to be taken.

    Args:
        threads: how many work; one for each usable core unless given.
        ahead: how many items are begun before their turn; twice the threads unless given.
    """
    threads = threads or usable_core_count()
    waiting, language = iter(items), translation.get_language()

    # The language is of a thread or a context, which the pool's threads do not inherit.
    def in_language(item: Item) -> Result:
        with translation.override(language):
            return work(item)

    with ThreadPoolExecutor(threads, thread_name_prefix="ahead") as pool:
        # In this order: a slow item holds back its followers' results, not their work.
        begun = deque(
            pool.submit(in_language, item) for item in islice(waiting, ahead or 2 * threads)
        )
        try:
            while begun:
                result = begun.popleft().result()
                begun.extend(pool.submit(in_language, item) for item in islice(waiting, 1))
                yield result
        finally:
            # Whoever stops asking does not wait for what was begun in vain.
            pool.shutdown(wait=False, cancel_futures=True)

"""Pictures are decoded on every core, and come in the order in which they were asked for."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.utils.translation import gettext, override

from common import parallel
from common.parallel import parallel_map


@pytest.fixture(autouse=True)
def four_cores(monkeypatch):
    monkeypatch.setattr(parallel, "usable_core_count", lambda: 4)


def test_a_quick_item_waits_for_the_slow_one_before_it():
    quick_is_done = threading.Event()

    def work(item):
        if item == "slow":
            assert quick_is_done.wait(10)
        else:
            quick_is_done.set()
        return item

    assert list(parallel_map(work, ["slow", "quick"])) == ["slow", "quick"]


def test_only_so_many_are_begun_before_their_turn():
    begun = []

    def items():
        for item in range(100):
            begun.append(item)
            yield item

    results = parallel_map(str, items(), ahead=3)
    assert begun == []
    assert next(results) == "0"
    assert begun == [0, 1, 2, 3]
    results.close()


def test_what_goes_wrong_is_told_at_its_turn():
    results = parallel_map(lambda item: 1 / item, [1, 0, 2])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_nothing_is_begun_after_the_caller_has_left(monkeypatch):
    done = []
    has_left = threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, *args, **options):
            super().shutdown(*args, **options | {"wait": False})
            has_left.set()
            super().shutdown()

    def work(item):
        if item > 0:
            assert has_left.wait(10)
        done.append(item)

    monkeypatch.setattr(parallel, "ThreadPoolExecutor", Pool)
    results = parallel_map(work, range(100), ahead=50)
    next(results)
    results.close()
    assert 0 in done
    assert len(done) <= 1 + 4  # the first, and one that each thread was at


def test_as_many_work_at_once_as_are_asked_for():
    both_are_here = threading.Barrier(2)
    assert sorted(parallel_map(lambda item: both_are_here.wait(10), [1, 2], threads=2)) == [0, 1]


def test_it_speaks_the_language_of_the_caller():
    with override("fr"):
        assert list(parallel_map(gettext, ["Yes"])) == [gettext("Yes")] == ["Oui"]


def test_of_nothing_comes_nothing():
    assert list(parallel_map(str, [])) == []

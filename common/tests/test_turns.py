"""One at a time, and in turns: whoever asks most does not get it most."""

import threading

from common.turns import Turns


def wait_for(turns: Turns, order: list[str], owner: str) -> threading.Thread:
    """Have a thread wait for its turn; return when it waits."""
    waiting = len(turns._waiting)

    def work():
        assert turns.take(owner, timeout=60)
        order.append(owner)
        turns.give_back()

    thread = threading.Thread(target=work)
    thread.start()
    while len(turns._waiting) == waiting:
        pass
    return thread


def test_others_come_before_further_turns_of_the_same_owner():
    turns = Turns()
    order: list[str] = []
    assert turns.take("ann", timeout=0)
    threads = [wait_for(turns, order, owner) for owner in ("ann", "ann", "ann", "ben", "cleo")]
    turns.give_back()
    for thread in threads:
        thread.join()
    assert order == ["ben", "ann", "cleo", "ann", "ann"]
    assert turns.take("ann", timeout=0), "nobody has it any more"


def test_who_waited_too_long_is_passed_over():
    turns = Turns()
    order: list[str] = []
    assert turns.take("ann", timeout=0)
    assert not turns.take("ben", timeout=0.01)
    thread = wait_for(turns, order, "cleo")
    turns.give_back()
    thread.join()
    assert order == ["cleo"]

"""What is made of the measured memory, and that the bodies are as long as they say."""

import pytest

from bench import memory, memory_probe
from bench.memory import MOST, ROOM_MEGABYTES, Measured


def one(took: float, status: int = 400) -> Measured:
    return Measured("predict", "JSON of lists", sent=10, took=took, status=status)


def test_what_any_request_takes_is_not_the_bodys():
    assert one(ROOM_MEGABYTES).ratio == one(0).ratio == 0
    assert (
        memory.row(one(ROOM_MEGABYTES + 20))
        == "| JSON of lists | 10.00 | predict | 400 | 26 | 2.0 |"
    )


def test_too_much_and_errors_of_ours_are_told():
    fine, dear = one(ROOM_MEGABYTES + 10 * MOST), one(ROOM_MEGABYTES + 10 * MOST + 1)
    assert memory.too_dear([fine]) == []
    assert len(memory.too_dear([fine, dear, one(0, status=500), one(0, status=0)])) == 3


@pytest.mark.parametrize("body", memory_probe.BODIES, ids=lambda body: body.name)
def test_a_body_is_as_long_as_it_says_and_read_in_any_pieces(body):
    stream, pieces = memory_probe.Stream(body, 10_000), []
    while piece := stream.read(7_000):
        pieces.append(piece)
    sent = b"".join(pieces)
    assert len(sent) == 10_000 and sent.startswith(body.start) and sent.endswith(body.end)
    assert sent[len(body.start) :].startswith(body.unit)

"""What the measurements make of their figures, and what they read out of /proc."""

import base64
import json
import subprocess
import sys
from email import message_from_bytes

import numpy as np
import pytest

from bench import engines, peer_table, servers, watching
from bench.bare_loop import Bare
from bench.load import Load
from bench.peers import answering
from bench.pictures import photo_like
from bench.servers import Measured
from bench.serving import median_of_loops


def test_a_peer_is_compared_with_classifr_before_and_after_it():
    peer = Measured(Load(10, 100, 200, 300, 60, 0.1), cpu_ms=80)
    before = Measured(Load(90, 1, 1, 1, 1, 0.1), cpu_ms=10)
    after = Measured(Load(110, 1, 1, 1, 1, 0.1), cpu_ms=10)
    line = peer_table.row("Peer", peer, [before, after], mebibytes=512, ready_after=4.25)
    assert line == "| Peer | 10.0 | 100 | 300 | 80.0 | 512 | 4.2 | 100.0 | 10.0 | 8.0 |"


def test_an_engine_is_judged_by_the_truth_and_by_keras(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    keras = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.8, 0.2]])
    found = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2]])
    facts = {"cpu_ms": 4.0, "ready_cpu": 0.1, "mebibytes": 30.4}
    line = engines.row("Engine", facts, found, keras, labels=np.array([0, 1, 1, 1]))
    assert line == "| Engine | 4.00 | 500 | 0.10 | 30 | 0.500 | 0.750 | 2.0e-01 |"


def test_the_median_of_bare_loops():
    assert median_of_loops([Bare(10, 3), Bare(30, 1), Bare(20, 2)]) == Bare(20, 2)


def test_a_form_holds_the_picture():
    head = f"Content-Type: multipart/form-data; boundary={servers.BOUNDARY}\r\n\r\n".encode()
    (part,) = message_from_bytes(head + servers.in_form(b"\xff\xd8picture")).get_payload()
    assert part.get_param("name", header="content-disposition") == "pictures"
    assert part.get_payload(decode=True) == b"\xff\xd8picture"


def test_a_v2_request_holds_the_picture_in_base64():
    (tensor,) = json.loads(servers.in_v2_json(b"\xff\xd8picture"))["inputs"]
    assert base64.b64decode(tensor["data"][0]) == b"\xff\xd8picture"
    assert tensor["parameters"] == {"content_type": "base64"}


def test_scaled_decoding_gives_nearly_the_same_pixels():
    jpeg = photo_like(640, 480)
    whole, scaled = (answering.pixels(jpeg, 64, draft=draft).astype(int) for draft in (False, True))
    assert whole.shape == (64, 64, 3)
    assert np.abs(whole - scaled).mean() < 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is of Linux")
class TestWatching:
    def test_a_process_may_have_any_name(self):
        line = "7 (a name) R) S 5 7 7 0 -1 4194560 100 0 0 0 50 25 10 15 20 0 1 0 4711 1000 100"
        assert watching.parsed_stat(line) == (5, 100 / watching.TICKS, 4711)

    def test_a_tree_holds_what_a_process_started(self):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        try:
            (found,) = watching.tree(child.pid)
            assert found.pid == child.pid
            assert "input()" in found.command
            assert watching.mebibytes(child.pid) > 0
            assert watching.is_same(found)
        finally:
            child.communicate(b"\n")
        assert watching.tree(child.pid) == []
        assert not watching.is_same(found)
        assert watching.mebibytes(child.pid) == 0

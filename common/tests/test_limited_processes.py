"""Processes with limits: what they do to themselves, and what they are not told."""

import pytest

from common import limited_processes
from common.limited_processes import ProcessFailed

CHILD = """
import os, sys
from common import limited_processes
limited_processes.limit_this_process(
    memory_bytes=2**30, core_seconds=1, file_bytes=1000
)
question = limited_processes.read_question()
match question["do"]:
    case "answer":
        answer = {"environment": sorted(os.environ), "argument": sys.argv[1]}
    case "crash":
        os.abort()
    case "spin":
        while True:
            pass
    case "eat":
        answer = {"eaten": len(bytes(2**31))}
    case "write":
        with open(os.environ["HOME"] + "/x", "wb") as file:
            file.write(bytes(10_000))
        answer = {}
limited_processes.write_answer(answer)
"""


@pytest.fixture
def child(tmp_path, monkeypatch):
    """A module for these tests, found from a root of their own."""
    (tmp_path / "child_of_test.py").write_text(CHILD)
    (tmp_path / "common").symlink_to(limited_processes.ROOT / "common")
    monkeypatch.setattr(limited_processes, "ROOT", tmp_path)

    def ask(do: str, wait_seconds: float = 30):
        return limited_processes.ask(
            "child_of_test", {"do": do}, "an argument", wait_seconds=wait_seconds
        )

    return ask


def test_it_answers_and_knows_no_secrets(child, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "secret")
    answer = child("answer")
    assert answer["argument"] == "an argument"
    assert not {"SECRET_KEY", "DATABASE_URL"} & set(answer["environment"])


@pytest.mark.parametrize(
    ("do", "reason"),
    [("crash", "crashed"), ("eat", "crashed"), ("write", "crashed"), ("spin", "too_slow")],
)
def test_what_it_does_to_itself_is_told(child, do, reason):
    with pytest.raises(ProcessFailed, match=reason):
        child(do)


def test_it_is_not_waited_for_without_end(child):
    with pytest.raises(ProcessFailed, match="too_slow"):
        child("spin", wait_seconds=0.2)


@pytest.mark.parametrize("output", [b"", b"chatter\n", b"[]\n"])
def test_what_is_no_answer_is_a_crash(output):
    with pytest.raises(ProcessFailed, match="crashed"):
        limited_processes.answer_of(0, output)


def test_the_last_line_is_the_answer():
    assert limited_processes.answer_of(0, b'chatter\n{"a": 1}\n') == {"a": 1}

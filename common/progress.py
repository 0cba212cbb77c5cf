"""How long work tells how far it is, and learns that it should stop."""

from typing import Protocol


class Cancelled(Exception):
    """Somebody asked this work to stop; raised inside it by its own call of `progress`."""


class Progress(Protocol):
    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Tell that `done` of `total` steps are done and what is under way.

        Raises:
            Cancelled: if the work was asked to stop.
        """


class StageNote(str):
    """A note whose text changes while one stage of the work goes on ("epoch 3 of 20").

    The stage has a name in the code, so that who keeps one line per stage need not guess from
    sentences in the reader's language. Of a plain `str` the text itself is the stage.
    """

    stage: str

    def __new__(cls, text: str, *, stage: str) -> "StageNote":
        note = super().__new__(cls, text)
        note.stage = stage
        return note


def stage_of(note: str) -> str:
    return note.stage if isinstance(note, StageNote) else note


def no_progress(done: int, total: int, note: str = "") -> None:
    """A `Progress` for callers that do not watch."""


def subrange(progress: Progress, start: int, end: int) -> Progress:
    """Return a `Progress` whose 0 to total is `start` to `end` percent of a longer one.

    It is silent while nothing changes.
    """
    # A job's progress is an UPDATE and a SELECT: thousands of steps must not each cost them.
    told: tuple[int, str] | None = None

    def tell(done: int, total: int, note: str = "") -> None:
        nonlocal told
        percent = start + (end - start) * done // max(total, 1)
        if told != (percent, note):
            told = percent, note
            progress(percent, 100, note)

    return tell

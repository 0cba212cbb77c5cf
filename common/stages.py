"""One bar of progress for work of several stages."""

from common.progress import Progress

WHOLE = 100


def stage(progress: Progress, start: int, end: int) -> Progress:
    """Return a `Progress` whose 0 to total is `start` to `end` percent of the whole; silent while
    nothing changes.
    """
    told: tuple[int, str] | None = None

    def tell(done: int, total: int, note: str = "") -> None:
        nonlocal told
        percent = start + (end - start) * done // max(total, 1)
        if told != (percent, note):
            told = percent, note
            progress(percent, WHOLE, note)

    return tell

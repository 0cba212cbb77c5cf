"""Pictures by their links: several at once, a few times, with fresh links where they have ended;
the key stays here.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID

from django.utils.translation import gettext as _

from common import fetching
from common.errors import Unavailable
from customvision.client.errors import retry_after
from customvision.importer.service import RemotePicture

MAX_BYTES = 6 * 1024 * 1024
PARALLEL = 4
ROUNDS = 4
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 30.0
ENDED = (401, 403, 404, 410)  # what a link answers that has ended, or whose picture is gone

Refresh = Callable[[list[UUID]], Iterable[RemotePicture]]


class DownloadsFailed(Unavailable):
    """Not one of several pictures came: their server does not answer now."""

    code = "no_pictures"


@dataclass(frozen=True)
class Download:
    """What came of one picture: its bytes, or why not, or neither, when it was deleted there
    meanwhile.
    """

    data: bytes = b""
    problem: str = ""
    is_gone: bool = False


@dataclass(frozen=True)
class _Try:
    data: bytes = b""
    status: int = 0
    asked_seconds: float = 0.0
    is_too_large: bool = False

    @property
    def is_settled(self) -> bool:
        return bool(self.data) or self.is_too_large


def download_pictures(
    pictures: Sequence[RemotePicture], refresh: Refresh, *, host: str
) -> dict[UUID, Download]:
    """Fetch pictures, a few at a time.

    Args:
        refresh: returns those that are still there with fresh links.
        host: of the service, which may be asked for pictures even where it is on a private network.

    Raises:
        DownloadsFailed: none came, and none was refused for good; worth another try later.
    """
    waiting: Mapping[UUID, RemotePicture] = {one.id: one for one in pictures}
    found: dict[UUID, Download] = {}
    tries: dict[UUID, _Try] = {}
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="downloads") as pool:
        for number in range(ROUNDS):
            tries = dict(
                zip(
                    waiting,
                    pool.map(lambda one: _try(one.link, host), waiting.values()),
                    strict=True,
                )
            )
            found |= {id_: _settled(each) for id_, each in tries.items() if each.is_settled}
            waiting = {id_: one for id_, one in waiting.items() if id_ not in found}
            if not waiting or number == ROUNDS - 1:
                break
            _pause(number, [tries[id_] for id_ in waiting])
            fresh = {one.id: one for one in refresh(list(waiting))}
            found |= {id_: Download(is_gone=True) for id_ in waiting if id_ not in fresh}
            waiting = {id_: one for id_, one in fresh.items() if id_ in waiting}
    if (
        waiting
        and len(waiting) == len(pictures)
        and not any(tries[id_].status in ENDED for id_ in waiting)
    ):
        raise DownloadsFailed(
            _("The pictures of the service cannot be fetched now."), retry_after_seconds=60
        )
    return found | {id_: Download(problem=_sentence(tries[id_].status)) for id_ in waiting}


def _try(link: str, host: str) -> _Try:
    try:
        return _Try(data=fetching.fetch_url(link, most_bytes=MAX_BYTES, trusted_host=host))
    except fetching.ResponseTooLarge:
        return _Try(is_too_large=True)
    except fetching.FetchRefused as error:
        return _Try(
            status=error.status, asked_seconds=retry_after({"Retry-After": error.retry_after})
        )


def _settled(one: _Try) -> Download:
    if one.is_too_large:
        return Download(problem=_("The picture is larger than 6 MB."))
    return Download(data=one.data)


def _pause(number: int, tries: Sequence[_Try]) -> None:
    """Wait for as long as was asked for, or a little longer each time; a link that has ended needs
    no patience.
    """
    if number == 0 and all(one.status in ENDED for one in tries):
        return
    asked = max(one.asked_seconds for one in tries)
    time.sleep(min(max(asked, FIRST_PAUSE_SECONDS * 2**number), MAX_PAUSE_SECONDS))


def _sentence(status: int) -> str:
    if status:
        return _("Its link answers %(status)d, also a fresh one.") % {"status": status}
    return _("Its link does not answer.")

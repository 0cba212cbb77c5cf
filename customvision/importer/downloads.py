"""Downloading pictures by their links, in parallel, with fresh links for those that expired.

The links are signed: the key is sent to nobody.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
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
ENDED = (401, 403, 404, 410)  # statuses of a link that has expired, or whose picture is gone

Refresh = Callable[[list[UUID]], Iterable[RemotePicture]]


class DownloadsFailed(Unavailable):
    """None of the pictures could be fetched: their server does not answer now."""

    code = "no_pictures"


@dataclass(frozen=True)
class Download:
    """A picture's bytes, or why there are none, or neither if it was deleted in the meantime."""

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
        refresh: returns those that still exist, with fresh links.
        host: of the service, from which pictures are fetched even on a private network.

    Raises:
        DownloadsFailed: none came, and none was refused for good; worth another try later.
    """
    waiting: Mapping[UUID, RemotePicture] = {one.id: one for one in pictures}
    found: dict[UUID, Download] = {}
    tries: dict[UUID, _Try] = {}
    too_large = _("The picture is larger than 6 MB.")
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="downloads") as pool:
        for number in range(ROUNDS):
            links = [one.link for one in waiting.values()]
            tries = dict(zip(waiting, pool.map(partial(_try, host=host), links), strict=True))
            found |= {
                id_: Download(data=each.data, problem=too_large if each.is_too_large else "")
                for id_, each in tries.items()
                if each.is_settled
            }
            waiting = {id_: one for id_, one in waiting.items() if id_ not in found}
            if not waiting or number == ROUNDS - 1:
                break
            _pause(number, [tries[id_] for id_ in waiting])
            fresh = {one.id: one for one in refresh(list(waiting))}
            found |= {id_: Download(is_gone=True) for id_ in waiting if id_ not in fresh}
            waiting = {id_: one for id_, one in fresh.items() if id_ in waiting}
    # Some pictures that fail are reported, and the import goes on. If all do, the server is down
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


def _pause(number: int, tries: Sequence[_Try]) -> None:
    """Wait as long as a server asked for, or else a little longer in each round."""
    # Expired links need fresh ones and no patience
    if number == 0 and all(one.status in ENDED for one in tries):
        return
    asked = max(one.asked_seconds for one in tries)
    time.sleep(min(max(asked, FIRST_PAUSE_SECONDS * 2**number), MAX_PAUSE_SECONDS))


def _sentence(status: int) -> str:
    if status:
        return _("Its link answers %(status)d, also a fresh one.") % {"status": status}
    return _("Its link does not answer.")

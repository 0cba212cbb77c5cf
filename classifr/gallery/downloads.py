"""Samples as an archive: the stored files and a table of labels, written while it is sent."""

import csv
import io
import logging
import zipfile
from collections.abc import Iterator, Sequence

from django.utils.translation import gettext as _

from classifr.gallery import pages
from classifr.gallery.filters import GalleryFilters
from classifr.gallery.pages import Tile
from common.errors import InvalidInput
from common.media.content import EXTENSIONS
from predictions.models import Sample

logger = logging.getLogger(__name__)

MOST_SAMPLES = 2000
MOST_BYTES = 500_000_000
COLUMNS = (
    "file",
    "sample",
    "decision",
    "category",
    "split",
    "answer",
    "confidence",
    "model_version",
    "source",
    "uploaded_at",
)


class _Outlet(io.RawIOBase):
    """What an archive is written to: gives away what was written, and keeps nothing."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def samples_to_download(wanted: GalleryFilters) -> list[Sample]:
    """Return all samples that fit. Raises InvalidInput if they are too many for an archive."""
    samples: list[Sample] = []
    for page in pages.all_pages(wanted):
        samples += page
        check_limits(samples)
    return samples


def check_limits(samples: Sequence[Sample]) -> None:
    """Raise InvalidInput if these are none, or too many for an archive."""
    if not samples:
        raise InvalidInput(_("Choose at least one sample first."))
    if len(samples) > MOST_SAMPLES:
        sentence = _("An archive holds at most %(limit)d samples. Narrow the filters.")
        raise InvalidInput(sentence % {"limit": MOST_SAMPLES})
    if sum(sample.size_bytes for sample in samples) > MOST_BYTES:
        sentence = _("An archive holds at most %(limit)d MB. Narrow the filters.")
        raise InvalidInput(sentence % {"limit": MOST_BYTES // 1_000_000})


def archive_of(samples: Sequence[Sample], wanted: GalleryFilters) -> Iterator[bytes]:
    """Yield a ZIP of the samples' files and `samples.csv`, one file in memory at a time.

    A file that cannot be read is missing, and its line in the table has no name of a file.
    """
    outlet = _Outlet()
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    # Pictures are compressed already
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:
        for start in range(0, len(samples), pages.PAGE):
            for tile in pages.with_facts(samples[start : start + pages.PAGE], wanted):
                name = _file_name(tile.sample)
                data = _read(tile.sample)
                if data is None:
                    name = ""
                else:
                    archive.writestr(name, data)
                    yield outlet.taken()
                writer.writerow(_line(name, tile))
        archive.writestr("samples.csv", table.getvalue())
    yield outlet.taken()


def _read(sample: Sample) -> bytes | None:
    if not sample.has_picture:
        return None
    try:
        return sample.read()
    except Exception:  # every storage raises its SDK's own errors
        logger.warning("Sample %s cannot be read for an archive", sample.uuid, exc_info=True)
        return None


def _file_name(sample: Sample) -> str:
    # Names of ours: those of users may be anything, and one of another's
    return f"{sample.uuid}.{EXTENSIONS.get(sample.media_type.partition(';')[0], 'bin')}"


def _line(name: str, tile: Tile) -> tuple[object, ...]:
    decision, answer = tile.decision, tile.answer
    return (
        name,
        tile.sample.uuid,
        decision.outcome if decision else "",
        _inert(decision.category.name if decision and decision.category else ""),
        tile.split,
        _inert(answer.top.name if answer and answer.top else ""),
        f"{answer.confidence:.4f}" if answer else "",
        answer.model_version.number if answer else "",
        tile.sample.origin,
        tile.sample.created_at.isoformat(),
    )


def _inert(cell: str) -> str:
    """Return a cell that a spreadsheet does not take for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell

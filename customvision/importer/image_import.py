"""Images become samples, and their tags labels: each once, whenever and however often an import is
stopped.

A picture is stored, then its rows are written, some pictures in one transaction; an import that
dies between the two finds the picture by its digest the next time. What a reviewer ruled here since
is left alone and told.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from common.errors import Unavailable
from common.media import images as door
from common.media.images import InvalidPicture, Picture
from common.parallel import parallel_map
from common.progress import Progress
from common.transactions import durable_transaction
from customvision.importer.downloads import MAX_BYTES, Download, download_pictures
from customvision.importer.service import RemoteImage, TrainingService
from customvision.models import ImportedImage, ImportedProject
from predictions import uploads
from predictions.models import Category, Project, Sample
from review import decisions
from review.models import Decision

ROWS_AT_ONCE = 500
AT_ONCE = 16  # pictures in memory, and in one transaction
MAX_PASSES = 3
MAX_PROBLEM = 300
T = TypeVar("T")


@dataclass
class ImportTotals:
    """What the service listed, and what was found on the way that rows do not tell."""

    tags: dict[UUID, tuple[UUID, ...]] = field(default_factory=dict)
    counted: int = 0  # by the service itself, after the list was read
    fetched: int = 0
    gone: int = 0  # deleted there while the import was under way
    differing: list[UUID] = field(default_factory=list)  # came again with other bytes
    labelled: int = 0


@dataclass
class ImportContext:
    """What an import works with."""

    imported: ImportedProject
    remote: TrainingService
    categories: Mapping[UUID, Category]
    by: User | None
    progress: Progress
    checks_bytes: bool = False

    @property
    def project(self) -> Project:
        return self.imported.project

    def refresh_images(self, ids: list[UUID]) -> list[RemoteImage]:
        return self.remote.refresh_images(self.imported.remote_id, ids)


def import_images(errand: ImportContext) -> ImportTotals:
    """Bring all images home that are not here, and take up tags that have changed.

    Images may be added or deleted there meanwhile, which shifts the pages: the list is read again
    until it is whole.

    Raises:
        Cancelled: asked to stop; what is here stays.
        CustomVisionError, DownloadsFailed: the service does not answer; the same call goes on from
            here.
    """
    seen = ImportTotals()
    for _pass_number in range(MAX_PASSES):
        listed = _pass(errand, seen)
        seen.counted = errand.remote.image_count(errand.imported.remote_id)
        if len(listed) == seen.counted:
            break
    seen.tags = {id_: tags for id_, tags in seen.tags.items() if id_ in listed}
    return seen


def _pass(errand: ImportContext, seen: ImportTotals) -> set[UUID]:
    """Read the whole list once; return the ids on it."""
    listed: set[UUID] = set()
    note = _("Importing images")
    total = errand.remote.image_count(errand.imported.remote_id)
    errand.progress(0, total, note)
    for page in errand.remote.images(errand.imported.remote_id):
        for some in batched([one for one in page if one.id not in listed], AT_ONCE):
            _take_some(errand, some, seen)
            listed.update(one.id for one in some)
            seen.tags |= {one.id: one.tag_ids for one in some}
            errand.progress(min(len(listed), total), total, note)
    return listed


def _take_some(errand: ImportContext, some: Sequence[RemoteImage], seen: ImportTotals) -> None:
    ids = [one.id for one in some]
    rows = {
        row.remote_id: row
        for row in errand.imported.images.filter(remote_id__in=ids).select_related("sample")
    }
    new = [one for one in some if errand.checks_bytes or not is_imported(rows.get(one.id))]
    fetched = download_pictures(new, errand.refresh_images, host=errand.remote.host)
    kept = store_pictures(errand, fetched)
    for id_, came in fetched.items():
        if came.is_gone:
            seen.gone += 1
            continue
        row = rows.setdefault(id_, ImportedImage(imported=errand.imported, remote_id=id_))
        _note(row, *kept[id_], seen)
    listed = [(one, rows[one.id]) for one in some if one.id in rows]
    with durable_transaction():
        _label(errand, listed, seen)
        for one, row in listed:
            row.tag_ids, row.seen_at = [str(tag) for tag in one.tag_ids], timezone.now()
            row.save()


def is_imported(row: ImportedImage | None) -> bool:
    """Say whether nothing is to be fetched: the picture is here, or somebody has discarded it
    here.
    """
    if row is None or row.sample is None:
        return False
    if row.sample.has_picture:
        return True
    ruling = decisions.latest_decision(row.sample)
    return ruling is not None and ruling.outcome == Decision.Outcome.DISCARDED


Kept = tuple[Sample | None, str, str]  # the sample, its digest, why there is none


def store_pictures(errand: ImportContext, fetched: Mapping[UUID, Download]) -> dict[UUID, Kept]:
    """Take what came through the one door, on every core, and keep it."""
    with closing(parallel_map(_checked, fetched.values())) as checked:
        return {id_: _kept(errand, one) for id_, one in zip(fetched, checked, strict=True)}


def _checked(one: Download) -> Picture | str:
    """Return the picture, or why there is none."""
    if not one.data:
        return one.problem
    try:  # nobody looks at it yet
        return door.decode_upload(one.data, most_bytes=MAX_BYTES, least_side=1).without_pixels()
    except (InvalidPicture, Unavailable) as error:
        return str(error)


def _kept(errand: ImportContext, picture: Picture | str) -> Kept:
    if isinstance(picture, str):
        return None, "", picture
    sample = uploads.keep_to_learn_from(errand.project, picture, by=errand.by)
    return sample, sample.sha256, ""


def _note(
    row: ImportedImage, sample: Sample | None, sha256: str, problem: str, seen: ImportTotals
) -> None:
    if sample is None:
        row.problem = problem[:MAX_PROBLEM]
        return
    seen.fetched += 1
    if row.sha256 and row.sha256 != sha256:
        seen.differing.append(row.remote_id)
        return
    row.sample, row.sha256, row.problem = sample, sha256, ""


def _label(
    errand: ImportContext, listed: Sequence[tuple[RemoteImage, ImportedImage]], seen: ImportTotals
) -> None:
    """Let tags become rulings, where nobody has ruled otherwise here."""
    with_sample = [(one, row) for one, row in listed if row.sample_id]
    ruled = decisions.latest_decisions([row.sample for _one, row in with_sample if row.sample])
    new: list[tuple[ImportedImage, Sample, Category]] = []
    planned: dict[int, Category] = {}
    for one, row in with_sample:
        sample = row.sample
        assert sample is not None  # noqa: S101 (tells the type checker)
        wanted = _category_of(one, errand.categories)
        if not _may_rule(one, row, ruled.get(sample.pk)) or sample.pk in planned:
            continue
        if wanted and not _says(ruled.get(sample.pk), wanted):
            planned[sample.pk] = wanted
            new.append((row, sample, wanted))
        elif (
            not wanted
            and row.decision_id
            and (ruling := ruled.get(sample.pk))
            and ruling.pk == row.decision_id
        ):
            row.decision = decisions.reopen(sample, by=errand.by, reason=_("Its tag was removed"))
    made = decisions.label_many(
        errand.project,
        [(sample, category) for _row, sample, category in new],
        by=errand.by,
        reason=_("Imported"),
    )
    for (row, _sample, _category), decision in zip(new, made, strict=True):
        row.decision = decision
    seen.labelled += len(made)


def _category_of(one: RemoteImage, categories: Mapping[UUID, Category]) -> Category | None:
    """Return the category of an image with exactly one tag: a picture here has one category."""
    return categories.get(one.tag_ids[0]) if len(one.tag_ids) == 1 else None


def _may_rule(one: RemoteImage, row: ImportedImage, ruling: Decision | None) -> bool:
    """Say whether a tag may speak: for the first time where nobody has ruled, later when it was
    changed there.
    """
    if ruling is None:
        return True
    if row.decision_id is None:
        return ruling.outcome == Decision.Outcome.REOPENED
    return ruling.pk == row.decision_id and row.tag_ids != [str(tag) for tag in one.tag_ids]


def _says(ruling: Decision | None, category: Category) -> bool:
    return ruling is not None and ruling.category_id == category.pk


def tag_conflicts(
    imported: ImportedProject, categories: Mapping[UUID, Category]
) -> Iterator[tuple[ImportedImage, str]]:
    """Yield the images whose tag is not what is ruled here, with what is."""
    rows = imported.images.filter(sample__isnull=False).select_related("sample").order_by("pk")
    for some in batched(list(rows), ROWS_AT_ONCE):
        ruled = decisions.latest_decisions([row.sample for row in some if row.sample])
        for row in some:
            ruling = ruled.get(row.sample_id or 0)
            wanted = categories.get(UUID(row.tag_ids[0])) if len(row.tag_ids) == 1 else None
            if (
                wanted
                and ruling
                and ruling.outcome != Decision.Outcome.REOPENED
                and not _says(ruling, wanted)
            ):
                yield row, ruling.category.name if ruling.category else _("discarded")


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]

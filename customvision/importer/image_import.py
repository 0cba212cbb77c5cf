"""Images become samples, and their tags decisions: each once, however often an import is stopped.

A picture is stored, then its rows are written, some pictures in one transaction; an import that
dies between the two finds the picture by its digest the next time. A decision that a reviewer has
made here since is left alone and reported.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from django.db.models import prefetch_related_objects
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from common.errors import Unavailable
from common.media import images
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
MAX_PASSES = 3  # over a list that changes while it is read
MAX_PROBLEM = 300
T = TypeVar("T")


@dataclass
class ImportTotals:
    """What the service listed, and what was noticed on the way that no row tells."""

    tags: dict[UUID, tuple[UUID, ...]] = field(default_factory=dict)
    counted: int = 0  # by the service itself, after the list was read
    fetched: int = 0
    gone: int = 0  # deleted at the service while the import was under way
    differing: list[UUID] = field(default_factory=list)  # fetched again with other bytes
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


def import_images(context: ImportContext) -> ImportTotals:
    """Import all images that are missing here, and adopt tags that have changed.

    Images may be added or deleted at the service in the meantime, which shifts the pages: the list
    is read again until it is complete.

    Raises:
        Cancelled: asked to stop; what was imported stays.
        CustomVisionError, DownloadsFailed: the service does not answer; the same call continues
            where this one stopped.
    """
    seen = ImportTotals()
    for _pass_number in range(MAX_PASSES):
        listed = _pass(context, seen)
        # A list as long as the count was not shifted while it was read
        seen.counted = context.remote.image_count(context.imported.remote_id)
        if len(listed) == seen.counted:
            break
    seen.tags = {id_: tags for id_, tags in seen.tags.items() if id_ in listed}
    return seen


def _pass(context: ImportContext, seen: ImportTotals) -> set[UUID]:
    """Read the whole list once; return the ids on it."""
    listed: set[UUID] = set()
    note = _("Importing images")
    total = context.remote.image_count(context.imported.remote_id)
    context.progress(0, total, note)
    for page in context.remote.images(context.imported.remote_id):
        for some in batched([one for one in page if one.id not in listed], AT_ONCE):
            _import_some(context, some, seen)
            listed.update(one.id for one in some)
            seen.tags |= {one.id: one.tag_ids for one in some}
            context.progress(min(len(listed), total), total, note)
    return listed


def _import_some(context: ImportContext, some: Sequence[RemoteImage], seen: ImportTotals) -> None:
    ids = [one.id for one in some]
    rows = {
        row.remote_id: row
        for row in context.imported.images.filter(remote_id__in=ids).select_related("sample")
    }
    new = [one for one in some if context.checks_bytes or not is_imported(rows.get(one.id))]
    fetched = download_pictures(new, context.refresh_images, host=context.remote.host)
    kept = store_pictures(context, fetched)
    for id_, came in fetched.items():
        if came.is_gone:
            seen.gone += 1
            continue
        row = rows.setdefault(id_, ImportedImage(imported=context.imported, remote_id=id_))
        sample, sha256, problem = kept[id_]
        if sample is None:
            row.problem = problem[:MAX_PROBLEM]
            continue
        seen.fetched += 1
        # With `checks_bytes`: the picture imported first stays, the difference is reported
        if row.sha256 and row.sha256 != sha256:
            seen.differing.append(row.remote_id)
            continue
        row.sample, row.sha256, row.problem = sample, sha256, ""
    listed = [(one, rows[one.id]) for one in some if one.id in rows]
    with durable_transaction():
        _label(context, listed, seen)
        for one, row in listed:
            row.tag_ids, row.seen_at = [str(tag) for tag in one.tag_ids], timezone.now()
            row.save()


def is_imported(row: ImportedImage | None) -> bool:
    """Say whether there is nothing to fetch: the picture is here, or was discarded here."""
    if row is None or row.sample is None:
        return False
    if row.sample.has_picture:
        return True
    decision = decisions.latest_decision(row.sample)
    return decision is not None and decision.outcome == Decision.Outcome.DISCARDED


# The sample, its digest, and why there is no sample
Kept = tuple[Sample | None, str, str]


def store_pictures(context: ImportContext, fetched: Mapping[UUID, Download]) -> dict[UUID, Kept]:
    """Check and decode downloads on every core, and store their pictures."""
    kept: dict[UUID, Kept] = {}
    with closing(parallel_map(_checked, fetched.values())) as checked:
        for id_, picture in zip(fetched, checked, strict=True):
            if isinstance(picture, str):
                kept[id_] = None, "", picture
            else:
                sample = uploads.keep_to_learn_from(context.project, picture, by=context.by)
                kept[id_] = sample, sample.sha256, ""
    return kept


def _checked(one: Download) -> Picture | str:
    """Return the picture, or why there is none."""
    if not one.data:
        return one.problem
    try:  # no model looks at it yet, so it is decoded as small as can be, and the pixels dropped
        return images.decode_upload(one.data, most_bytes=MAX_BYTES, least_side=1).without_pixels()
    except (InvalidPicture, Unavailable) as error:
        return str(error)


def _label(
    context: ImportContext, listed: Sequence[tuple[RemoteImage, ImportedImage]], seen: ImportTotals
) -> None:
    """Turn tags into decisions, where nobody has decided otherwise here."""
    with_sample = [(one, row) for one, row in listed if row.sample_id]
    decided = decisions.latest_decisions([row.sample for _one, row in with_sample if row.sample])
    prefetch_related_objects(list(decided.values()), "additional_categories")
    new: list[tuple[ImportedImage, Sample, list[Category]]] = []
    # Images of equal content are one sample: the first one's tags count
    planned: set[int] = set()
    for one, row in with_sample:
        sample = row.sample
        assert sample is not None  # noqa: S101 (tells the type checker)
        wanted = _shown(context.project, one.tag_ids, context.categories)
        decision = decided.get(sample.pk)
        if not _may_decide(one, row, decision) or sample.pk in planned:
            continue
        if wanted and not _says(decision, wanted):
            planned.add(sample.pk)
            new.append((row, sample, wanted))
        elif not wanted and row.decision_id and decision and decision.pk == row.decision_id:
            row.decision = decisions.reopen(sample, by=context.by, reason=_("Its tag was removed"))
    made = decisions.label_many_multilabel(
        context.project,
        [(sample, wanted) for _row, sample, wanted in new],
        by=context.by,
        reason=_("Imported"),
    )
    for (row, _sample, _wanted), imported in zip(new, made, strict=True):
        row.decision = imported
    seen.labelled += len(made)


def _shown(
    project: Project, tag_ids: Sequence[UUID], categories: Mapping[UUID, Category]
) -> list[Category]:
    """Return the categories that the tags of an image say it shows.

    None for several tags where the categories exclude each other.
    """
    shown = {category.pk: category for id_ in tag_ids if (category := categories.get(id_))}
    return list(shown.values()) if project.multilabel or len(shown) == 1 else []


def _may_decide(one: RemoteImage, row: ImportedImage, decision: Decision | None) -> bool:
    """Say whether the tags of an image may become a decision about its sample.

    At first, if nobody has decided here. Later, if the tags were changed at the service and the
    decision in force is still the imported one.
    """
    if decision is None:
        return True
    if row.decision_id is None:
        return decision.outcome == Decision.Outcome.REOPENED
    return decision.pk == row.decision_id and row.tag_ids != [str(tag) for tag in one.tag_ids]


def _says(decision: Decision | None, shown: Sequence[Category]) -> bool:
    if decision is None:
        return False
    said = {
        decision.category_id,
        *(one.category_id for one in decision.additional_categories.all()),
    }
    return said == {category.pk for category in shown}


def tag_conflicts(
    imported: ImportedProject, categories: Mapping[UUID, Category]
) -> Iterator[tuple[ImportedImage, str]]:
    """Yield the images whose tag is not what was decided here, with what was."""
    rows = imported.images.filter(sample__isnull=False).select_related("sample").order_by("pk")
    for some in batched(list(rows), ROWS_AT_ONCE):
        decided = decisions.latest_decisions([row.sample for row in some if row.sample])
        prefetch_related_objects(list(decided.values()), "additional_categories__category")
        for row in some:
            decision = decided.get(row.sample_id or 0)
            wanted = _shown(imported.project, [UUID(one) for one in row.tag_ids], categories)
            if (
                wanted
                and decision
                and decision.outcome != Decision.Outcome.REOPENED
                and not _says(decision, wanted)
            ):
                said = [
                    decision.category,
                    *(one.category for one in decision.additional_categories.all()),
                ]
                yield row, ", ".join(one.name for one in said if one) or _("discarded")


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]

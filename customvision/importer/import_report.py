"""The report of an import: what was there and what is here, counted anew each time.

A picture is "here" if the rows say so *and* the storage holds it: its sample has the digest that
was recorded at the import, and the stored file has the recorded length.
"""

from collections import Counter
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from customvision.importer import image_import
from customvision.importer.image_import import ImportContext, ImportTotals
from customvision.importer.service import RemoteTag
from customvision.models import ImportedImage

MAX_TOLD = 200  # of each list, as the report is one JSON value of a row


def write_report(
    context: ImportContext,
    seen: ImportTotals,
    tags: list[RemoteTag],
    *,
    iterations: int,
    predictions: set[UUID] | None,
) -> None:
    """Count what was imported, and store the report with the project.

    Args:
        predictions: the ids that the service listed; None if predictions were not asked for.
    """
    imported = context.imported
    report = _report(context, seen, tags) | {"iterations": iterations, "predictions": None}
    imported.report = report
    counted = [report["images"]]
    if predictions is not None:
        stored = imported.predictions.exclude(sample=None)
        here = len(predictions & set(stored.values_list("remote_id", flat=True)))
        there = len(predictions)
        report["predictions"] = {"there": there, "here": here, "failed": there - here}
        counted.append(report["predictions"])
    report["complete"] = (
        all(one["here"] >= one["there"] for one in counted) and not report["differing"]
    )
    imported.save(update_fields=["report"])


def _report(context: ImportContext, seen: ImportTotals, tags: list[RemoteTag]) -> dict[str, Any]:
    # Only what was listed now: earlier imports may have brought more
    rows = [
        row
        for row in context.imported.images.select_related("sample").order_by("pk")
        if row.remote_id in seen.tags
    ]
    broken = [row for row in rows if row.sample and not _is_whole(row)]
    here = [row for row in rows if row.sample and row not in broken]
    there_per_tag = Counter(str(tag) for tag_ids in seen.tags.values() for tag in tag_ids)
    here_per_tag = Counter(tag for row in here for tag in row.tag_ids)
    failed = [{"id": str(row.remote_id), "reason": row.problem} for row in rows if not row.sample]
    failed += [
        {"id": str(row.remote_id), "reason": _("The stored picture is lost or damaged.")}
        for row in broken
    ]
    # Where categories do not exclude each other, each tag is one
    several = [
        str(row.remote_id)
        for row in here
        if len(row.tag_ids) > 1 and not context.project.multilabel
    ]
    conflicts = [
        {"id": str(row.remote_id), "here": decided}
        for row, decided in image_import.tag_conflicts(context.imported, context.categories)
    ]
    return {
        "tags": [_of_tag(tag, there_per_tag, here_per_tag, failed, rows) for tag in tags],
        "images": {
            "there": max(len(seen.tags), seen.counted),
            "here": len(here),
            "failed": len(failed),
            "new": seen.fetched,
            "labelled": seen.labelled,
            "untagged": sum(not row.tag_ids for row in here),
            "several_tags": len(several),
            "same_bytes": len(here) - len({row.sample_id for row in here}),
            "gone": context.imported.images.count() - len(rows),
        },
        "merged": [
            {"tag": tag.name, "category": category.name}
            for tag in tags
            if (category := context.categories.get(tag.id)) and category.name != tag.name
        ],
        "failures": failed[:MAX_TOLD],
        "several": several[:MAX_TOLD],
        "conflicts": conflicts[:MAX_TOLD],
        "differing": [str(id_) for id_ in seen.differing][:MAX_TOLD],
        "checked_bytes": context.checks_bytes,
    }


def _of_tag(
    tag: RemoteTag, there: Counter, here: Counter, failed: list, rows: list[ImportedImage]
) -> dict[str, Any]:
    missing = {one["id"] for one in failed}
    lost = sum(str(row.remote_id) in missing and str(tag.id) in row.tag_ids for row in rows)
    id_ = str(tag.id)
    return {
        "name": tag.name,
        "type": tag.type,
        "there": there[id_],
        "here": here[id_],
        "failed": lost,
    }


def _is_whole(row: ImportedImage) -> bool:
    """Say whether a sample is what came, and its picture is in the storage."""
    sample = row.sample
    if sample is None or sample.sha256 != row.sha256:
        return False
    # The picture of a sample that was discarded here was deleted on purpose
    if not sample.has_picture:
        return image_import.is_imported(row)
    try:
        return sample.storage.size(sample.file_name) == sample.size_bytes
    except OSError:
        return False

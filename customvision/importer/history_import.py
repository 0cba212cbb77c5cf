"""Importing iterations with their metrics, and stored predictions with their pictures, as history.

A stored prediction's picture becomes a sample without a label. Its scores come from no model of
ours, so they are kept beside the sample and not among our predictions.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from customvision.importer import image_import
from customvision.importer.downloads import download_pictures
from customvision.importer.image_import import AT_ONCE, MAX_PROBLEM, ImportContext, batched
from customvision.importer.service import RemotePrediction
from customvision.models import ImportedIteration, ImportedPrediction

MEASURED = "Completed"


def import_iterations(context: ImportContext) -> int:
    """Store all iterations, with the metrics of those that are trained; return their number."""
    found = context.remote.iterations(context.imported.remote_id)
    context.progress(0, len(found), _("Importing iterations"))
    for number, one in enumerate(found, start=1):
        facts: dict[str, Any] = {
            "name": one.name[:200],
            "status": one.status[:30],
            "published_as": one.published_as[:200],
            "trained_at": one.trained_at,
        }
        # The service has no metrics of others, and answers the question with an error
        if one.status == MEASURED:
            facts["performance"] = context.remote.performance(context.imported.remote_id, one.id)
        ImportedIteration.objects.update_or_create(
            imported=context.imported, remote_id=one.id, defaults=facts
        )
        context.progress(number, len(found), _("Importing iterations"))
    return len(found)


def import_predictions(context: ImportContext) -> set[UUID]:
    """Import the stored predictions that are missing; return the ids that the service listed."""
    listed: set[UUID] = set()
    iterations = {one.remote_id: one for one in context.imported.iterations.all()}
    context.progress(0, 0, _("Importing stored predictions"))
    for page, token in context.remote.predictions(context.imported.remote_id):
        for some in batched(page, AT_ONCE):
            _import_some(context, some, token, iterations)
        listed.update(one.id for one in page)
        context.progress(len(listed), len(listed), _("Importing stored predictions"))
    return listed


def _import_some(
    context: ImportContext,
    some: Sequence[RemotePrediction],
    token: str,
    iterations: Mapping[UUID, ImportedIteration],
) -> None:
    ids = [one.id for one in some]
    rows = {row.remote_id: row for row in context.imported.predictions.filter(remote_id__in=ids)}
    new = [one for one in some if one.id not in rows or rows[one.id].sample_id is None]

    # Predictions cannot be asked for by id, so fresh links come from the same page of the list
    def again(wanted: list[UUID]) -> list[RemotePrediction]:
        page, _following = context.remote.page(context.imported.remote_id, token)
        return [one for one in page if one.id in wanted]

    fetched = download_pictures(new, again, host=context.remote.host)
    said = {one.id: one for one in new}
    there = {id_: one for id_, one in fetched.items() if not one.is_gone}
    kept = [(said[id_], one) for id_, one in image_import.store_pictures(context, there).items()]
    with transaction.atomic():
        for one, (sample, sha256, problem) in kept:
            ImportedPrediction.objects.update_or_create(
                imported=context.imported,
                remote_id=one.id,
                defaults={
                    "iteration": iterations.get(one.iteration_id),
                    "sample": sample,
                    "sha256": sha256,
                    "scores": dict(sorted(one.scores.items(), key=lambda item: -item[1])),
                    "predicted_at": one.predicted_at,
                    "problem": problem[:MAX_PROBLEM],
                },
            )

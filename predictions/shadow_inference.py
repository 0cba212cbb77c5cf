"""Has the model in shadow answer what waits for it: in chunks, on a queue of its own.

The work may be done twice or by two workers: an answer is written once. What the shadow cannot
answer is written down with the reason, so that it waits no longer; nothing here touches the live
answer.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from django.db import DatabaseError, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common import jobs
from common.errors import DomainError, Unavailable
from common.media.content import Content
from common.progress import Progress
from common.tasks import periodic, task
from predictions import classification, retention, shadow_deployment, uploads
from predictions.models import Feedback, ModelVersion, Prediction, Sample, Shadow, ShadowPrediction

CHUNK = 16
# By then a transaction that was under way has committed, or never will.
SETTLES_AFTER = timedelta(minutes=1)

logger = logging.getLogger(__name__)

Pair = tuple[Prediction, Content]


@periodic(seconds=2)
def enqueue_pending() -> int:
    """Have a worker answer what waits in each project; return in how many something does."""
    # Of each project the newest choice; one without a version has what came before it answered.
    later = Shadow.objects.filter(project=OuterRef("project"), pk__gt=OuterRef("pk"))
    found = 0
    for choice in Shadow.objects.filter(~Exists(later)):
        oldest = shadow_deployment.pending_predictions(choice).values_list("pk", flat=True).first()
        _shorten_search(choice, oldest)
        if oldest:
            found += 1
            with suppress(jobs.AlreadyEnqueued):
                answer_pending.using(key=f"shadow:{choice.project_id}").enqueue(
                    project_key=choice.project_id
                )
    return found


@task(
    "predictions.answer_in_shadow",
    queue="shadow",
    stored_as={"project_key": "project"},
    title=gettext_lazy("Ask the model in shadow"),
)
def answer_pending(progress: Progress, project_key: int) -> None:
    """Answer what waits in a project.

    Raises:
        jobs.RetryLater: if the model or the store of pictures cannot answer now.
    """
    choice = Shadow.objects.filter(project=project_key).order_by("-pk").first()
    last, done = 0, 0
    while choice:
        # Past what was looked at, so that one job asks about nothing twice.
        rows = list(
            shadow_deployment.pending_predictions(choice)
            .filter(pk__gt=last)
            .select_related("sample", "project")[:CHUNK]
        )
        if not rows:
            return
        # One model answers a chunk; what another one skips here, the next job finds.
        key = _shadow_key(rows[0])
        chunk = [row for row in rows if _shadow_key(row) == key]
        version = ModelVersion.objects.select_related("project").get(pk=key)
        try:
            _answer(version, chunk)
        except Unavailable as error:
            raise jobs.RetryLater(str(error)) from error
        last, done = chunk[-1].pk, done + len(chunk)
        progress(done, done)


def _shorten_search(choice: Shadow, oldest: int | None) -> None:
    """Say up to where nothing waits and nothing will, for the next search to begin there."""
    # A prediction may commit after one with a higher key: only what is old enough is left behind.
    settled = Prediction.objects.filter(
        project=choice.project_id,
        created_at__lt=timezone.now() - SETTLES_AFTER,
        pk__gt=choice.searched_to,
    )
    newest = settled.order_by("-pk").values_list("pk", flat=True).first() or 0
    reached = min(oldest - 1, newest) if oldest else newest
    if reached > choice.searched_to:
        Shadow.objects.filter(pk=choice.pk).update(searched_to=reached)


def _shadow_key(prediction: Prediction) -> int:
    return prediction.shadow_version  # type: ignore[attr-defined]  # annotated by `shadow_deployment.unanswered_predictions`


def _answer(version: ModelVersion, chunk: Sequence[Prediction]) -> None:
    """Answer some predictions together; where that fails for good, one by one.

    Raises:
        Unavailable: if that cannot be done now, and some have not waited for long.
    """
    try:
        least_side = classification.min_side(version.project, version)
        _ask_about(
            version,
            [(one, content) for one in chunk if (content := _content_of(version, one, least_side))],
        )
    except Unavailable as error:
        given_up = [
            one for one in chunk if one.created_at < timezone.now() - shadow_deployment.PICTURE_HOLD
        ]
        # Retention may delete their pictures by now, so that nobody could answer them later either.
        _write([_silence(version, one, str(error)) for one in given_up])
        if len(given_up) < len(chunk):
            raise
    except DatabaseError:
        raise
    except Exception as error:
        if len(chunk) > 1:
            for one in chunk:
                _answer(version, [one])
            return
        reason = str(error)
        if not isinstance(error, DomainError):
            logger.exception("The model in shadow broke")
            reason = _("The model failed: %(kind)s") % {"kind": type(error).__name__}
        _write([_silence(version, chunk[0], reason)])


def _content_of(
    version: ModelVersion, prediction: Prediction, least_side: int | None
) -> Content | None:
    """Return what a prediction is about; where it is gone, write that down instead.

    Raises:
        Unavailable: if the storage cannot be reached.
    """
    try:
        return uploads.load_picture(prediction.sample, least_side=least_side)
    except FileNotFoundError:
        reason = _("The file was deleted before the model could process it.")
        _write([_silence(version, prediction, reason)])
        return None


def _ask_about(version: ModelVersion, pairs: Sequence[Pair]) -> None:
    if not pairs:
        return
    project = pairs[0][0].project
    answer = classification.predict_with(
        project, [content for _prediction, content in pairs], version=version
    )
    best = [max(scores.items(), key=lambda item: item[1]) for scores in answer.scores]
    categories = {
        one.name: one for one in project.categories.filter(name__in={name for name, _value in best})
    }
    _write(
        [
            ShadowPrediction(
                prediction=prediction,
                model_version=version,
                scores=dict(sorted(scores.items(), key=lambda item: -item[1])),
                top=categories.get(name),
                confidence=confidence,
                agrees=prediction.ranked[0][0] == name,
                latency_ms=answer.latency_ms,
            )
            for (prediction, _content), scores, (name, confidence) in zip(
                pairs, answer.scores, best, strict=True
            )
        ]
    )


def _silence(version: ModelVersion, prediction: Prediction, reason: str) -> ShadowPrediction:
    return ShadowPrediction(prediction=prediction, model_version=version, error=reason[:300])


@transaction.atomic
def _write(rows: Sequence[ShadowPrediction]) -> None:
    """Write answers down, and delete the pictures that were only kept for them."""
    predictions = {row.prediction_id: row.prediction for row in rows}
    # Locked first: an OK given at this very moment either sees that the shadow has answered, or is
    # seen. In the order of keys, so that two workers cannot wait for each other.
    samples = {one.sample_id for one in predictions.values()}
    list(Sample.objects.select_for_update().filter(pk__in=samples).order_by("pk"))
    ShadowPrediction.objects.bulk_create(rows, ignore_conflicts=True)
    accepted = Feedback.objects.filter(
        prediction__in=list(predictions), verdict=Feedback.Verdict.OK
    )
    for key in accepted.values_list("prediction", flat=True):
        retention.delete_picture_after_ok(predictions[key])

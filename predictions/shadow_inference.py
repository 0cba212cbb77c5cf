"""Have the model in shadow answer what waits for it: a worker's job, in chunks, on a queue of its
own.

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
from common.media.images import Picture
from common.progress import Progress
from common.tasks import periodic, task
from predictions import classification, retention, shadow_deployment, uploads
from predictions.models import Feedback, ModelVersion, Prediction, Sample, Shadow, ShadowPrediction

CHUNK = 16
SETTLES_AFTER = timedelta(
    minutes=1
)  # by then a transaction that was under way has committed, or never will

logger = logging.getLogger(__name__)

Pair = tuple[Prediction, Picture]


@periodic(seconds=2)
def enqueue_pending() -> int:
    """Have a worker answer what waits in each project; return in how many something does."""
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
        rows = (
            shadow_deployment.pending_predictions(choice)
            .filter(pk__gt=last)
            .select_related("sample", "project")[:CHUNK]
        )
        chunk = _of_one_version(list(rows))
        if not chunk:
            return
        try:
            _answer(_version_of(chunk[0]), chunk)
        except Unavailable as error:
            raise jobs.RetryLater(str(error)) from error
        last, done = chunk[-1].pk, done + len(chunk)
        progress(done, done)


def _shorten_search(choice: Shadow, oldest: int | None) -> None:
    """Say up to where nothing waits and nothing will, so that the next search need not read it
    again.
    """
    settled = Prediction.objects.filter(
        project=choice.project_id,
        created_at__lt=timezone.now() - SETTLES_AFTER,
        pk__gt=choice.searched_to,
    )
    newest = settled.order_by("-pk").values_list("pk", flat=True).first() or 0
    reached = min(oldest - 1, newest) if oldest else newest
    if reached > choice.searched_to:
        Shadow.objects.filter(pk=choice.pk).update(searched_to=reached)


def _of_one_version(rows: Sequence[Prediction]) -> list[Prediction]:
    """Return the first of these predictions, as far as the same shadow is to answer them."""
    return [row for row in rows if _asks_for(row) == _asks_for(rows[0])]


def _asks_for(prediction: Prediction) -> int:
    return prediction.shadow_version  # type: ignore[attr-defined]  # annotated by `shadow_deployment.unanswered_predictions`


def _version_of(prediction: Prediction) -> ModelVersion:
    return ModelVersion.objects.select_related("project").get(pk=_asks_for(prediction))


def _answer(version: ModelVersion, chunk: Sequence[Prediction]) -> None:
    """Answer some predictions' pictures together; where that fails for good, one by one.

    Raises:
        Unavailable: if that cannot be done now, and some have not waited for long.
    """
    try:
        least_side = classification.min_side(version.project, version)
        _ask_about(
            version,
            [(one, picture) for one in chunk if (picture := _picture_of(version, one, least_side))],
        )
    except Unavailable as error:
        given_up = [
            one for one in chunk if one.created_at < timezone.now() - shadow_deployment.PICTURE_HOLD
        ]
        _write([_silence(version, one, str(error)) for one in given_up])
        if len(given_up) < len(chunk):
            raise
    except DatabaseError:
        raise
    except Exception as error:
        if len(chunk) == 1:
            _write([_silence(version, chunk[0], _reason(error))])
            return
        for one in chunk:
            _answer(version, [one])


def _reason(error: Exception) -> str:
    if isinstance(error, DomainError):
        return str(error)
    logger.error("The model in shadow broke", exc_info=error)
    return _("The model failed: %(kind)s") % {"kind": type(error).__name__}


def _picture_of(
    version: ModelVersion, prediction: Prediction, least_side: int | None
) -> Picture | None:
    """Return the stored picture that a prediction is about; where it is gone, that is written down
    instead.

    Raises:
        Unavailable: if the storage cannot be reached.
    """
    try:
        return uploads.load_picture(prediction.sample, least_side=least_side)
    except FileNotFoundError:
        _write(
            [
                _silence(
                    version,
                    prediction,
                    _("The picture was deleted before the model could process it."),
                )
            ]
        )
        return None


def _ask_about(version: ModelVersion, pairs: Sequence[Pair]) -> None:
    if not pairs:
        return
    project = pairs[0][0].project
    answer = classification.predict_with(
        project, [picture for _prediction, picture in pairs], version=version
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
            for (prediction, _picture), scores, (name, confidence) in zip(
                pairs, answer.scores, best, strict=True
            )
        ]
    )


def _silence(version: ModelVersion, prediction: Prediction, reason: str) -> ShadowPrediction:
    return ShadowPrediction(prediction=prediction, model_version=version, error=reason[:300])


@transaction.atomic
def _write(rows: Sequence[ShadowPrediction]) -> None:
    """Write answers down, and let the pictures go that were only kept for them.

    The samples are locked first: an OK given at this very moment either sees that the shadow has
    answered, or is seen.
    """
    predictions = {row.prediction_id: row.prediction for row in rows}
    samples = {one.sample_id for one in predictions.values()}
    list(Sample.objects.select_for_update().filter(pk__in=samples).order_by("pk"))
    ShadowPrediction.objects.bulk_create(rows, ignore_conflicts=True)
    accepted = Feedback.objects.filter(
        prediction__in=list(predictions), verdict=Feedback.Verdict.OK
    )
    for key in accepted.values_list("prediction", flat=True):
        retention.delete_picture_after_ok(predictions[key])

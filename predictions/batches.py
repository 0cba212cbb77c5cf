"""Several pictures at once: kept in the requests that bring them, answered by a worker in chunks.

A bad picture is refused with its own sentence and the others go on. The work may be done twice or
by two workers: an answer is written only for an item that has none yet.
"""

from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

from django.core.files.base import File
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from common import jobs
from common.errors import DomainError, InvalidInput, QuotaReached, Unavailable
from common.media.content import Content
from common.models import Job
from common.parallel import parallel_map
from common.progress import Progress
from common.tasks import task
from predictions import classification, projects, registry, uploads
from predictions.conditions import NONE, Conditions
from predictions.modalities import modalities
from predictions.models import Batch, BatchItem, ModelVersion, Project
from predictions.predictors.base import PredictorError

CHUNK = 16
MAX_KEY = 40


def create_batch(
    project: Project, files: Sequence[Any], *, by: User, given: Conditions = NONE
) -> Batch:
    """Keep several pictures and have them answered in the background.

    Args:
        given: capture conditions that came with all of them.

    Raises:
        ProjectArchived: if the project takes nothing new.
        InvalidInput: if there are too many.
        NoLiveModel: if nobody could answer.
        Unavailable: if they cannot be stored now.
    """
    projects.refuse_archived(project)
    modality = modalities[project.modality]
    if len(files) > (most := modality.most_at_once()):
        raise InvalidInput(str(modality.sentences.too_many) % {"limit": most})
    registry.require_live_version(project)
    items = []
    for file in files:
        try:
            items.append(_take_in(project, file, by=by, given=given))
        except QuotaReached as error:
            items.append(BatchItem(shown_name=_shown_name(file), error=str(error)[:300]))
    # Pictures are stored by now: the transaction holds the rows alone.
    with transaction.atomic():
        batch = Batch.objects.create(project=project, user=by)
        for item in items:
            item.batch = batch
        BatchItem.objects.bulk_create(items)
        enqueue_batch(batch)
    return batch


def start_batch(project: Project, *, by: User) -> Batch:
    """Begin a batch whose pictures come one by one, see `add_to_batch`; there may be any number.

    Raises:
        NoLiveModel: if nobody could answer.
    """
    projects.refuse_archived(project)
    registry.require_live_version(project)
    return Batch.objects.create(project=project, user=by)


def add_to_batch(batch: Batch, file: File, *, key: str, given: Conditions = NONE) -> BatchItem:
    """Keep one more picture of a batch and have it answered; a bad one is kept as refused.

    Args:
        key: the sender's own for this file: sent again with it, the first one is returned.

    Raises:
        InvalidInput: the key is too long or missing.
        QuotaReached: too many pictures, too fast or today; says when again.
        Unavailable: it cannot be stored now; nothing of it was kept.
    """
    if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise InvalidInput(
            _("Each file needs a key of at most %(count)d characters.") % {"count": MAX_KEY}
        )
    if earlier := batch.items.filter(key=key).first():
        return earlier
    projects.refuse_archived(batch.project)
    item = _take_in(batch.project, file, by=batch.user, given=given)
    item.batch, item.key = batch, key
    try:
        with transaction.atomic():
            item.save()
            enqueue_batch(batch)
    except IntegrityError:  # sent twice at the same time
        return batch.items.get(key=key)
    return item


def _take_in(project: Project, file: File, *, by: User, given: Conditions) -> BatchItem:
    """Return the item of a file, not saved yet: with its sample, or why it is refused."""
    item = BatchItem(shown_name=_shown_name(file))
    try:
        # Decoded as small as it gets: nobody looks at the picture yet.
        item.sample, _content = uploads.store_upload(
            project, file, by=by, least_side=1, given=given
        )
    except (Unavailable, QuotaReached):
        # Of the moment, not of the file. Going on would keep the sender of a hundred waiting for
        # a time-out each.
        raise
    except DomainError as error:
        item.error = str(error)[:300]
    return item


def _shown_name(file: File) -> str:
    return uploads.display_name(file.name or "")


def enqueue_batch(batch: Batch) -> None:
    """Have a worker answer what is left."""
    # The second key, as a worker that is at it may have looked for the last time already
    for key in _keys(batch):
        with suppress(jobs.AlreadyEnqueued):
            classify_batch.using(key=key).enqueue(batch_key=batch.pk)
            return


def stopped_because(batch: Batch) -> str:
    """Return why no worker goes on with a batch that has pictures without an answer, or ""."""
    work = Job.objects.filter(kind=classify_batch.kind, key__in=_keys(batch))
    if work.active().exists():
        return ""
    ended_badly = work.filter(status__in=[Job.Status.FAILED, Job.Status.CANCELLED])
    last = ended_badly.order_by("-pk").first()
    # There may be none any more: jobs that ended long ago are deleted.
    return (last.error if last else "") or _("Processing of these pictures was stopped.")


@task(
    "predictions.classify_batch",
    stored_as={"batch_key": "batch"},
    keeps_language=True,
    title=gettext_lazy("Classify several pictures at once"),
)
def classify_batch(progress: Progress, batch_key: int) -> None:
    """Answer what is left of a batch.

    Raises:
        jobs.RetryLater: if the model cannot answer now.
    """
    batch = Batch.objects.select_related("project", "user").filter(pk=batch_key).first()
    if batch is None:
        return
    while True:
        # Asked anew for each chunk: another model with other limits may be live by then.
        at_once = min(CHUNK, classification.batch_size(batch.project))
        chunk = list(_unanswered(batch).select_related("sample")[:at_once])
        if not chunk:
            return
        try:
            _answer(batch, chunk)
        except Unavailable as error:
            raise jobs.RetryLater(str(error)) from error
        # Counted in this order: more may come at any time, and nobody has done less than nothing
        left = _unanswered(batch).count()
        total = batch.items.count()
        progress(total - left, total)


def _unanswered(batch: Batch) -> QuerySet[BatchItem]:
    return batch.items.filter(prediction=None, error="")


def _answer(batch: Batch, chunk: list[BatchItem]) -> None:
    """Answer some items together; where that fails for good, one by one, each with its reason."""
    try:
        live = registry.require_live_version(batch.project)
        least_side = classification.min_side(batch.project, live)
        _ask_about(live, batch, _with_pictures(chunk, least_side))
    except (PredictorError, registry.NoLiveModel) as error:
        if len(chunk) == 1:
            _refuse(chunk[0], str(error))
            return
        for item in chunk:
            _answer(batch, [item])


def _ask_about(live: ModelVersion, batch: Batch, pairs: list[tuple[BatchItem, Content]]) -> None:
    if not pairs:
        return
    answer = classification.predict_live(batch.project, [picture for _item, picture in pairs], live)
    with transaction.atomic():
        # Locked and asked once more: another worker may have answered some of them meanwhile.
        left = {
            item.pk
            for item in _unanswered(batch)
            .select_for_update()
            .filter(pk__in=[item.pk for item, _p in pairs])
        }
        open_pairs = [
            (item, picture, said)
            for (item, picture), said in zip(pairs, answer.answers, strict=True)
            if item.pk in left and item.sample
        ]
        predictions = classification.record_predictions(
            batch.project,
            [
                (item.sample, picture, item.shown_name)
                for item, picture, _said in open_pairs
                if item.sample
            ],
            replace(answer, answers=[said for *_, said in open_pairs]),
            by=batch.user,
        )
        for (item, _picture, _scores), prediction in zip(open_pairs, predictions, strict=True):
            item.prediction = prediction
        BatchItem.objects.bulk_update([item for item, _p, _s in open_pairs], ["prediction"])


def _with_pictures(
    chunk: list[BatchItem], least_side: int | None
) -> list[tuple[BatchItem, Content]]:
    """Return the items with their pictures; one whose picture is gone gets a sentence instead.

    Raises:
        Unavailable: if the storage cannot be reached.
    """

    def picture_of(item: BatchItem) -> Content | None:
        try:
            return uploads.load_picture(item.sample, least_side=least_side) if item.sample else None
        except FileNotFoundError:
            return None

    pairs = []
    # Closed, so that after an error no thread goes on reading pictures that nobody wants.
    with closing(parallel_map(picture_of, chunk)) as pictures:
        for item, picture in zip(chunk, pictures, strict=True):
            if picture:
                pairs.append((item, picture))
            else:
                _refuse(item, _("The picture is no longer there. Please upload it again."))
    return pairs


def _refuse(item: BatchItem, sentence: str) -> None:
    # Filtered, not saved: an answer that came meanwhile is not overwritten.
    BatchItem.objects.filter(pk=item.pk, prediction=None, error="").update(error=sentence[:300])


def _keys(batch: Batch) -> tuple[str, str]:
    return f"batch:{batch.uuid}", f"batch:{batch.uuid}:next"

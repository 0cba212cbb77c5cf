"""Brings what a user called wrong into `misclassified`, safe from what happens to the uploads.

A NOK is acknowledged with a job beside it in the same transaction; the job is tried until it has
worked. It writes the facts, then the picture, then says where the picture is: a crash after any of
these steps loses nothing, and doing them again changes nothing. The copy in `uploads` is deleted a
while later, after a look whether the other is really there: a blob service that dies may forget
what it acknowledged a moment before.

A picture that is gone, or is not what its row says, is no reason to forget what was said: the facts
are written all the same, and the job fails, which maintainers see. Nothing is deleted then, and the
job can be asked for once more.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any

from django.core.files.storage import storages
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common import jobs
from common.errors import DomainError
from common.media.content import EXTENSIONS
from common.tasks import task
from common.transactions import durable_transaction
from predictions.models import Feedback, Sample
from predictions.retention import (
    UNLIMITED_ATTEMPTS,
    delete_file,
    enqueue_file_deletion,
    facts_file_name,
)

logger = logging.getLogger(__name__)

# How long the copy in `uploads` stays; more than a blob service keeps a write in memory
SETTLE_SECONDS = 60
WHOLE, MISSING, DAMAGED = "whole", "missing", "damaged"  # in the JSON


class PictureLost(DomainError):
    """The picture of a NOK is gone or damaged; trying again would not bring it back."""

    code = "picture_lost"


@task(
    "predictions.store_misclassified",
    max_attempts=UNLIMITED_ATTEMPTS,
    stored_as={"feedback_key": "feedback"},
    title=gettext_lazy("Keep a picture whose prediction a user marked as wrong"),
)
def store_misclassified(feedback_key: int) -> None:
    """Move the picture of a NOK to `misclassified`, with all that was said about it.

    Safe to repeat; enqueue it in the transaction that writes the NOK. Raises whatever the storage
    raises when it cannot be reached; then nothing is lost and it is to be tried again.

    Raises:
        PictureLost: the picture is gone or damaged; what was said about it has been written.
        RetryLater: it is being moved again just now.
    """
    feedback = (
        Feedback.objects.filter(pk=feedback_key)
        .select_related("prediction__sample__project")
        .first()
    )
    if (
        feedback is None
        or feedback.verdict != Feedback.Verdict.NOK
        or not feedback.prediction.sample.has_picture
    ):
        return
    sample = feedback.prediction.sample
    name = f"{sample.project.slug}/{sample.uuid}.{EXTENSIONS.get(sample.media_type, 'bin')}"
    data, state = _read(sample, name)
    # `delete_moved_upload` finds that copy and brings it back; until then the loss is not final.
    if state != WHOLE and delete_moved_upload.active_jobs(sample_key=sample.pk).exists():
        raise jobs.RetryLater(
            "The storage of misclassified pictures has lost it, and a copy is left in the uploads"
        )
    while True:
        written = _complaints(sample)
        _write(sample, name, data, state, written)
        # Another NOK on the same picture may have come meanwhile.
        if _complaints(sample) == written:
            break
    if state != WHOLE:
        raise _lost(sample)
    _point_at(sample, name)
    # The storage answers: what it refused before need not wait any longer.
    jobs.retry_now(store_misclassified.kind)


@task(
    "predictions.settle_misclassified",
    max_attempts=UNLIMITED_ATTEMPTS,
    stored_as={"sample_key": "sample"},  # `file_name` stays: `orphaned_files` asks for it
    title=gettext_lazy("Check that a moved picture has arrived"),
)
def delete_moved_upload(sample_key: int, file_name: str) -> None:
    """Delete the copy in `uploads` of a moved picture; move it again if `misclassified` lost it.

    Safe to repeat. Raises whatever a storage raises when it cannot be reached.

    Raises:
        PictureLost: neither of the two is what the row says; what is left of them stays.
    """
    sample = Sample.objects.filter(pk=sample_key).select_related("project").first()
    if sample is None or sample.location != Sample.Location.MISCLASSIFIED:
        delete_file(Sample.Location.UPLOADS, file_name, sample_key)
        return
    is_there = _has_size(sample, sample.location, sample.file_name)
    if is_there and sample.storage.exists(facts_file_name(sample.file_name)):
        delete_file(Sample.Location.UPLOADS, file_name, sample_key)
    elif _has_size(sample, Sample.Location.UPLOADS, file_name):
        _move_again(sample, file_name)  # from the copy, which this job was to delete
    elif is_there:
        _put_newest(sample)  # only the facts are gone
    else:
        raise _lost(sample)


def _has_size(sample: Sample, location: str, file_name: str) -> bool:
    """Say whether a file is there and as long as the row says."""
    try:
        return _is_size_of(sample, storages[location].size(file_name))
    except FileNotFoundError:
        return False


def _is_size_of(sample: Sample, size: int) -> bool:
    return size == sample.size_bytes


def _read(sample: Sample, name: str) -> tuple[bytes | None, str]:
    """Return the picture, or None and what is wrong with it.

    It may have been moved without its row knowing: a database that comes back from a backup is
    older than the storages.
    """
    try:
        data = sample.read()
    except FileNotFoundError:
        data = None
    if data is not None and _is_size_of(sample, len(data)):
        return data, WHOLE
    if _has_size(sample, Sample.Location.MISCLASSIFIED, name):
        with storages[Sample.Location.MISCLASSIFIED].open(name) as file:
            return file.read(), WHOLE
    return None, MISSING if data is None else DAMAGED


def _lost(sample: Sample) -> PictureLost:
    return PictureLost(
        _(
            "A picture whose prediction a user marked as wrong is missing or damaged: "
            "%(location)s/%(name)s. Its feedback is kept. Restore the file from a "
            "backup, then try again."
        )
        % {"location": sample.location, "name": sample.file_name}
    )


@durable_transaction()
def _move_again(sample: Sample, file_name: str) -> None:
    logger.warning(
        "The storage of misclassified pictures has lost %s; it is stored again", sample.file_name
    )
    # Filtered by the old place: a worker that did the same a moment before is not undone.
    moved_back = Sample.objects.filter(
        pk=sample.pk, location=sample.location, file_name=sample.file_name
    ).update(location=Sample.Location.UPLOADS, file_name=file_name)
    if moved_back:
        _put_newest(sample)


def _put_newest(sample: Sample) -> None:
    noks = Feedback.objects.filter(prediction__sample=sample, verdict=Feedback.Verdict.NOK)
    if newest := noks.order_by("-pk").first():
        store_misclassified.enqueue(feedback_key=newest.pk)


def _complaints(sample: Sample) -> list[dict[str, Any]]:
    """Return every NOK on a picture with the prediction it is about, the newest first."""
    noks = Feedback.objects.filter(prediction__sample=sample, verdict=Feedback.Verdict.NOK)
    parts = ("prediction__model_version", "prediction__stood_in_for", "category")
    complaints = []
    for nok in noks.select_related(*parts).order_by("-pk"):
        prediction = nok.prediction
        facts = {
            "prediction": str(prediction.uuid),
            "scores": dict(prediction.ranked),
            "confidence": prediction.confidence,
            "abstained": prediction.abstained,
            "familiarity": prediction.familiarity,
            "is_unfamiliar": prediction.is_unfamiliar,
            "latency_ms": prediction.latency_ms,
            "model_version": prediction.model_version.number,
            "model_version_id": str(prediction.model_version.uuid),
            "model_digest": prediction.model_version.digest,
            "stood_in_for": prediction.stood_in_for.number if prediction.stood_in_for else None,
            "predicted_at": prediction.created_at.isoformat(),
            "verdict": nok.verdict,
            "suggestion": nok.category.name if nok.category else nok.suggestion,
            "user": nok.user_id,
            "given_at": nok.created_at.isoformat(),
        }
        complaints.append(facts)
    return complaints


def _write(
    sample: Sample, name: str, data: bytes | None, state: str, complaints: list[dict[str, Any]]
) -> None:
    """Write the facts, then the picture, if there is one."""
    storage: Any = storages[Sample.Location.MISCLASSIFIED]
    facts = {
        "project": sample.project.slug,
        "sample": str(sample.uuid),
        "sha256": sample.sha256,
        "picture": state,
        "media_type": sample.media_type,
        "width": sample.width,
        "height": sample.height,
        "capture": sample.capture,
        "uploaded_at": sample.created_at.isoformat(),
        "stored_at": timezone.now().isoformat(),
        "noks": complaints,
    }
    metadata = _metadata(sample, complaints[0]) if complaints else {}
    document = json.dumps(facts, indent=1, ensure_ascii=False, default=str).encode()
    storage.save_with_metadata(facts_file_name(name), document, metadata)
    if data is not None:
        storage.save_with_metadata(name, data, metadata)


def _metadata(sample: Sample, nok: Mapping[str, Any]) -> dict[str, str]:
    """Return the few facts that fit beside a blob, under names that Azure and S3 both take."""
    best = next(iter(nok["scores"].items()), ("", 0.0))
    facts = {
        "project": sample.project.slug,
        "sample": sample.uuid,
        "sha256": sample.sha256,
        "prediction": nok["prediction"],
        "predicted": best[0],
        "probability": f"{best[1]:.4f}",
        "model_version": nok["model_version"],
        "verdict": nok["verdict"],
        "suggestion": nok["suggestion"],
        "user": nok["user"],
        "given_at": nok["given_at"],
    }
    # Metadata are HTTP headers, which hold ASCII alone.
    return {
        key: str(value).encode("ascii", "backslashreplace").decode() for key, value in facts.items()
    }


@durable_transaction()
def _point_at(sample: Sample, name: str) -> None:
    """Say that the picture is in `misclassified` now, and have the other copy deleted later."""
    moved = Sample.objects.filter(
        pk=sample.pk, location=Sample.Location.UPLOADS, file_name=sample.file_name
    ).update(location=Sample.Location.MISCLASSIFIED, file_name=name)
    if moved:
        delete_moved_upload.using(delay_seconds=SETTLE_SECONDS).enqueue(
            sample_key=sample.pk, file_name=sample.file_name
        )
    else:  # moved before, or deleted meanwhile: then what was just written is to go too
        enqueue_file_deletion(sample, Sample.Location.MISCLASSIFIED, name)

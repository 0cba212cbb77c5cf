"""Bring what a user called wrong into `misclassified`, where it is safe whatever happens to the uploads.

A NOK is acknowledged with a job beside it in the same transaction; the job is tried until it has worked. It writes the
facts, then the picture, then says where the picture is: a crash after any of these steps loses nothing, and doing them
again changes nothing. The copy in `uploads` is deleted a while later, after a look whether the other is really there:
a blob service that dies may forget what it acknowledged a moment before.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any

from django.core.files.storage import storages
from django.utils import timezone

from common import jobs
from common.commits import on_disk
from predictions.models import Feedback, Sample
from predictions.retention import UNTIL_IT_WORKS, ask_to_delete, delete_file, facts_name

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 60  # how long the copy in `uploads` stays; more than a blob service keeps a write in memory
EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}


def put(feedback: Feedback) -> None:
    """Ask for a NOK's picture to be brought to safety; call it in the transaction that writes the NOK."""
    jobs.enqueue("predictions.store_misclassified", {"feedback": feedback.pk}, max_attempts=UNTIL_IT_WORKS)


def store(feedback_key: int) -> None:
    """Move the picture of a NOK to `misclassified`, with all that was said about it. Safe to repeat.

    Raises whatever the storage raises when it cannot be reached; then nothing is lost and it is to be tried again.
    """
    feedback = Feedback.objects.filter(pk=feedback_key).select_related("prediction__sample__project").first()
    if feedback is None or feedback.verdict != Feedback.Verdict.NOK or not feedback.prediction.sample.has_picture:
        return
    sample = feedback.prediction.sample
    name = f"{sample.project.slug}/{sample.uuid}.{EXTENSIONS.get(sample.media_type, 'bin')}"
    data = sample.read()
    while True:
        written = _complaints(sample)
        _write(sample, name, data, written)
        if _complaints(sample) == written:  # another NOK on the same picture may have come meanwhile
            break
    _point_at(sample, name)


def settle(sample_key: int, file_name: str) -> None:
    """Delete the copy in `uploads` of a picture that was moved; move it again if `misclassified` has lost it.

    Safe to repeat. Raises whatever a storage raises when it cannot be reached.
    """
    sample = Sample.objects.filter(pk=sample_key).select_related("project").first()
    if sample and sample.location == Sample.Location.MISCLASSIFIED and not _is_whole(sample):
        if storages[Sample.Location.UPLOADS].exists(file_name):
            _move_again(sample, file_name)
        else:
            logger.error("The storage of misclassified pictures has lost %s, and no copy is left", sample.file_name)
        return
    delete_file(Sample.Location.UPLOADS, file_name, sample=sample_key)


def _is_whole(sample: Sample) -> bool:
    try:
        size = sample.storage.size(sample.file_name)
    except FileNotFoundError:
        return False
    return size == sample.size_bytes and sample.storage.exists(facts_name(sample.file_name))


@on_disk()
def _move_again(sample: Sample, file_name: str) -> None:
    logger.warning("The storage of misclassified pictures has lost %s; it is stored again", sample.file_name)
    moved_back = Sample.objects.filter(pk=sample.pk, location=sample.location, file_name=sample.file_name).update(
        location=Sample.Location.UPLOADS, file_name=file_name
    )
    noks = Feedback.objects.filter(prediction__sample=sample, verdict=Feedback.Verdict.NOK)
    if moved_back and (newest := noks.order_by("-pk").first()):
        put(newest)


def _ask_to_settle(sample: Sample) -> None:
    jobs.enqueue(
        "predictions.settle_misclassified",
        {"sample": sample.pk, "file_name": sample.file_name},
        delay_seconds=SETTLE_SECONDS,
        max_attempts=UNTIL_IT_WORKS,
    )


def _complaints(sample: Sample) -> list[dict[str, Any]]:
    """Return every NOK on a picture with the prediction it is about, the newest first."""
    noks = Feedback.objects.filter(prediction__sample=sample, verdict=Feedback.Verdict.NOK)
    parts = ("prediction__model_version", "prediction__stood_in_for", "category")
    return [_facts(nok) for nok in noks.select_related(*parts).order_by("-pk")]


def _facts(nok: Feedback) -> dict[str, Any]:
    prediction = nok.prediction
    return {
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


def _write(sample: Sample, name: str, data: bytes, complaints: list[dict[str, Any]]) -> None:
    storage: Any = storages[Sample.Location.MISCLASSIFIED]
    facts = {
        "project": sample.project.slug,
        "sample": str(sample.uuid),
        "sha256": sample.sha256,
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
    storage.save_with_metadata(facts_name(name), document, metadata)
    storage.save_with_metadata(name, data, metadata)


def _metadata(sample: Sample, nok: Mapping[str, Any]) -> dict[str, str]:
    """Return the few facts that fit beside a blob: names that Azure and S3 both take, values in ASCII."""
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
    return {key: _ascii(str(value)) for key, value in facts.items()}


def _ascii(text: str) -> str:
    """Return text that may stand in an HTTP header: what is not printable ASCII becomes a backslash escape."""
    return text.encode("ascii", "backslashreplace").decode()


@on_disk()
def _point_at(sample: Sample, name: str) -> None:
    """Say that the picture is in `misclassified` now, and have the copy in `uploads` deleted a while later."""
    moved = Sample.objects.filter(pk=sample.pk, location=Sample.Location.UPLOADS, file_name=sample.file_name).update(
        location=Sample.Location.MISCLASSIFIED, file_name=name
    )
    if moved:
        _ask_to_settle(sample)
    else:  # moved before, or let go meanwhile: then what was just written is to go too
        ask_to_delete(sample, Sample.Location.MISCLASSIFIED, name)

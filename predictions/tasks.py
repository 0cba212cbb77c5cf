"""What this room's background work does."""

from collections.abc import Mapping
from typing import Any

from common import jobs, languages
from common.progress import Progress
from predictions import batches, orphaned_files, outbox, retention, shadow_inference


@jobs.handler(outbox.STORE)
def store_misclassified(payload: Mapping[str, Any], progress: Progress) -> None:
    outbox.store_misclassified(payload["feedback"])


@jobs.handler(outbox.SETTLE)
def settle_misclassified(payload: Mapping[str, Any], progress: Progress) -> None:
    outbox.delete_moved_upload(payload["sample"], payload["file_name"])


@jobs.handler(retention.DELETE_FILE)
def delete_file(payload: Mapping[str, Any], progress: Progress) -> None:
    retention.delete_file(payload["location"], payload["file_name"], sample=payload["sample"])


@jobs.handler(batches.KIND)
def classify_batch(payload: Mapping[str, Any], progress: Progress) -> None:
    with languages.spoken_in(payload):
        batches.classify_batch(payload["batch"], progress)


@jobs.handler(shadow_inference.KIND)
def answer_in_shadow(payload: Mapping[str, Any], progress: Progress) -> None:
    with languages.spoken_in(payload):
        shadow_inference.answer_pending(payload["project"], progress)


@jobs.every(seconds=2)
def ask_shadows() -> int:
    return shadow_inference.enqueue_pending()


@jobs.every(seconds=300)
def let_unanswered_pictures_go() -> int:
    return retention.delete_unanswered_pictures()


@jobs.every(seconds=86_400)
def sweep_uploads() -> int:
    return orphaned_files.delete_orphaned_files()

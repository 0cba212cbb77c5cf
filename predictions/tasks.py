"""What this room's background work does."""

from collections.abc import Mapping
from typing import Any

from common import jobs, languages
from common.progress import Progress
from predictions import batches, orphans, outbox, retention, shadowing


@jobs.handler(outbox.STORE)
def store_misclassified(payload: Mapping[str, Any], progress: Progress) -> None:
    outbox.store(payload["feedback"])


@jobs.handler(outbox.SETTLE)
def settle_misclassified(payload: Mapping[str, Any], progress: Progress) -> None:
    outbox.settle(payload["sample"], payload["file_name"])


@jobs.handler(retention.DELETE_FILE)
def delete_file(payload: Mapping[str, Any], progress: Progress) -> None:
    retention.delete_file(payload["location"], payload["file_name"], sample=payload["sample"])


@jobs.handler(batches.KIND)
def classify_batch(payload: Mapping[str, Any], progress: Progress) -> None:
    with languages.spoken_in(payload):
        batches.classify_waiting(payload["batch"], progress)


@jobs.handler(shadowing.KIND)
def answer_in_shadow(payload: Mapping[str, Any], progress: Progress) -> None:
    with languages.spoken_in(payload):
        shadowing.answer_waiting(payload["project"], progress)


@jobs.every(seconds=2)
def ask_shadows() -> int:
    return shadowing.ask_for_answers()


@jobs.every(seconds=300)
def let_unanswered_pictures_go() -> int:
    return retention.let_go_unanswered()


@jobs.every(seconds=86_400)
def sweep_uploads() -> int:
    return orphans.sweep()

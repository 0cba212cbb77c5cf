"""What this door does in the background."""

from collections.abc import Mapping
from typing import Any

from django.core.files.storage import storages

from classifr.common import jobs
from classifr.common.progress import Progress
from classifr.customvision import exports, removal


@jobs.handler(removal.DELETE_FILES)
def delete_files(payload: Mapping[str, Any], progress: Progress) -> None:
    """Delete files by storage and name. Safe to repeat."""
    for alias, name in payload["files"]:
        storages[alias].delete(name)


@jobs.handler(removal.ERASE_PROJECT)
def erase_project(payload: Mapping[str, Any], progress: Progress) -> None:
    removal.erase_project(payload["project"], payload["slug"], progress)


@jobs.handler(removal.REMOVE_IMAGES)
def remove_images(payload: Mapping[str, Any], progress: Progress) -> None:
    removal.remove_all_images(payload, progress)


@jobs.handler(removal.ERASE_TAG)
def erase_tag(payload: Mapping[str, Any], progress: Progress) -> None:
    removal.erase_tag(payload, progress)


@jobs.handler(exports.JOB)
def export(payload: Mapping[str, Any], progress: Progress) -> None:
    exports.make(payload["export"])

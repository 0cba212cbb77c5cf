"""What this door does in the background."""

from collections.abc import Mapping
from typing import Any

from django.core.files.storage import storages

from common import jobs
from common.progress import Progress
from customvision.api import deletion, exports


@jobs.handler(deletion.DELETE_FILES)
def delete_files(payload: Mapping[str, Any], progress: Progress) -> None:
    """Delete files by storage and name. Safe to repeat."""
    for alias, name in payload["files"]:
        storages[alias].delete(name)


@jobs.handler(deletion.ERASE_PROJECT)
def erase_project(payload: Mapping[str, Any], progress: Progress) -> None:
    deletion.erase_project(payload["project"], payload["slug"], progress)


@jobs.handler(deletion.REMOVE_IMAGES)
def remove_images(payload: Mapping[str, Any], progress: Progress) -> None:
    deletion.remove_all_images(payload, progress)


@jobs.handler(deletion.ERASE_TAG)
def erase_tag(payload: Mapping[str, Any], progress: Progress) -> None:
    deletion.erase_tag(payload, progress)


@jobs.handler(exports.JOB)
def export(payload: Mapping[str, Any], progress: Progress) -> None:
    exports.build_export(payload["export"])

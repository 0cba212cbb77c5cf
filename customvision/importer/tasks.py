"""What the import from Custom Vision does in the background."""

from collections.abc import Mapping
from typing import Any

from common import jobs, languages
from common.progress import Progress
from customvision.importer import import_jobs
from customvision.models import ImportedProject


@jobs.handler(import_jobs.JOB)
def import_custom_vision(payload: Mapping[str, Any], progress: Progress) -> None:
    """Bring a project home. Delivered again after a crash it goes on with what is not here yet."""
    rows = ImportedProject.objects.select_related("project", "access", "requested_by")
    if found := rows.filter(pk=payload["imported"]).first():
        with languages.spoken_in(payload):
            import_jobs.execute_import(
                found,
                progress,
                with_predictions=payload["with_predictions"],
                checks_bytes=payload["checks_bytes"],
            )


@jobs.every(20)
def forget_keys() -> None:
    import_jobs.delete_unneeded_keys()

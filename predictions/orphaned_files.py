"""Files in `uploads` that nobody points at: their process died before it wrote the row.

Only files named as we name them are looked at, and only after a day: an upload writes its row
within seconds. A file stays as well while a job may still need it, such as the copy of a NOK that
`misclassified` could not yet prove to have. So a storage belongs to one site: two that share one
would take each other's pictures for orphans.
"""

import logging
import re
from collections.abc import Iterator
from datetime import timedelta

from django.core.files.storage import Storage, storages
from django.utils import timezone

from common.models import Job
from common.tasks import periodic
from predictions.models import Sample

logger = logging.getLogger(__name__)

AGE = timedelta(days=1)
NAMES_PER_QUERY = 500
OURS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(_\w+)?\.(jpg|png)|\.writing-\w+")


@periodic(seconds=86_400)
def delete_orphaned_files() -> int:
    """Delete files of `uploads` older than `AGE` that no sample and no job knows.

    Safe to repeat; returns how many.
    """
    storage, deleted = storages[Sample.Location.UPLOADS], 0
    for names in _listed(storage):
        # Asked after the listing: a row that came meanwhile counts.
        known = set(Sample.objects.filter(file_name__in=names).values_list("file_name", flat=True))
        # Of whatever task: each that still needs a file stores its name as `file_name`.
        wanted = set(
            Job.objects.active()
            .filter(payload__file_name__in=names)
            .values_list("payload__file_name", flat=True)
        )
        for name in names:
            if name not in known | wanted and _is_old(storage, name):
                storage.delete(name)
                deleted += 1
                logger.warning(
                    "%s was in the storage of uploads without a row, and was deleted", name
                )
    return deleted


def _listed(storage: Storage) -> Iterator[list[str]]:
    try:
        folders, _files = storage.listdir("")
    except FileNotFoundError:
        return
    # A folder for each project, and none within it: the names that `uploads` gives.
    for folder in folders:
        _folders, files = storage.listdir(folder)
        ours = [f"{folder}/{name}" for name in files if OURS.fullmatch(name)]
        for start in range(0, len(ours), NAMES_PER_QUERY):
            yield ours[start : start + NAMES_PER_QUERY]


def _is_old(storage: Storage, name: str) -> bool:
    try:
        return storage.get_modified_time(name) < timezone.now() - AGE
    except FileNotFoundError:
        return False  # another worker was quicker

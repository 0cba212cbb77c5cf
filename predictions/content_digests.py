"""Finds what the samples from before are: the digest of the stored bytes, by which twins are told.

Before 0.2 a sample was known by the bytes that came, so the same picture with other metadata was
another sample.
"""

import hashlib
import logging

from common.tasks import periodic
from predictions.models import Sample

logger = logging.getLogger(__name__)

AT_ONCE = 1_000  # in one call, so that a worker's other chores are not kept waiting


@periodic(seconds=60)
def find_contents() -> int:
    """Read some pictures whose content is not known yet; return how many. Safe to repeat."""
    unknown = Sample.objects.with_picture().filter(content_sha256=Sample.UNKNOWN_CONTENT)
    found = 0
    for sample in unknown.order_by("pk")[:AT_ONCE]:
        try:
            content = hashlib.sha256(sample.read()).hexdigest()
        except FileNotFoundError:
            content = ""  # lost: whoever needs it is told elsewhere
        except OSError as error:
            logger.warning("The storage does not answer, so contents are found later: %s", error)
            break
        # Not if it went in the meantime: a picture that comes back tells its content itself
        # or moved, when it was missing only at its old place
        Sample.objects.filter(
            pk=sample.pk, location=sample.location, file_name=sample.file_name
        ).update(content_sha256=content)
        found += 1
    return found

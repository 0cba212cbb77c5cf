"""What training has the lower apps keep: pictures in a data set."""

from django.db.models import Exists, OuterRef

from predictions import holds
from training.models import DatasetItem


@holds.blocks_deletion
def is_in_dataset() -> Exists:
    """A frozen data set must stay what it was, or a model could not be measured on it again."""
    return Exists(DatasetItem.objects.filter(sample=OuterRef("pk")))

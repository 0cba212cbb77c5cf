"""What this room asks of the rooms below: pictures in a data set, and those that were brought home, are kept."""

from django.db.models import Exists, OuterRef

from predictions import holds
from training.models import DatasetItem, ImportedImage, ImportedPrediction


@holds.keeps_picture
def in_a_data_set() -> Exists:
    """A frozen data set must stay what it was, or a model could not be measured on it again."""
    return Exists(DatasetItem.objects.filter(sample=OuterRef("pk")))


@holds.keeps_picture
def came_home_as_an_image() -> Exists:
    """It was brought home, labelled or not, and may be gone there by now."""
    return Exists(ImportedImage.objects.filter(sample=OuterRef("pk")))


@holds.keeps_picture
def came_home_as_a_prediction() -> Exists:
    return Exists(ImportedPrediction.objects.filter(sample=OuterRef("pk")))

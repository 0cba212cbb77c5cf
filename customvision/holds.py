"""What this door asks of the rooms below: pictures that were added to learn from, or imported, are
kept until they are deleted."""

from django.db.models import Exists, OuterRef

from customvision.models import ImportedImage, ImportedPrediction, TrainingImage
from predictions import holds


@holds.blocks_deletion
def is_training_image() -> Exists:
    return Exists(TrainingImage.objects.filter(sample=OuterRef("pk")))


@holds.blocks_deletion
def came_home_as_an_image() -> Exists:
    """It was brought home, labelled or not, and may be gone there by now."""
    return Exists(ImportedImage.objects.filter(sample=OuterRef("pk")))


@holds.blocks_deletion
def came_home_as_a_prediction() -> Exists:
    return Exists(ImportedPrediction.objects.filter(sample=OuterRef("pk")))

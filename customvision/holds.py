"""Holds: training images and imported pictures are kept until they are deleted."""

from django.db.models import Exists, OuterRef

from customvision.models import ImportedImage, ImportedPrediction, TrainingImage
from predictions import holds


@holds.blocks_deletion
def is_training_image() -> Exists:
    return Exists(TrainingImage.objects.filter(sample=OuterRef("pk")))


@holds.blocks_deletion
def was_imported_as_an_image() -> Exists:
    """It was imported, labelled or not. The service may have deleted its own copy by now."""
    return Exists(ImportedImage.objects.filter(sample=OuterRef("pk")))


@holds.blocks_deletion
def was_imported_as_a_prediction() -> Exists:
    return Exists(ImportedPrediction.objects.filter(sample=OuterRef("pk")))

"""What this door asks of the rooms below: a picture that was added to learn from is kept until it is deleted."""

from django.db.models import Exists, OuterRef

from customvision.models import TrainingImage
from predictions import holds


@holds.keeps_picture
def to_learn_from() -> Exists:
    return Exists(TrainingImage.objects.filter(sample=OuterRef("pk")))

"""Deleting images and stored predictions, as far as nothing that Classifr must keep needs them."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy

from accounts.models import User
from common.progress import Progress
from common.tasks import task
from common.transactions import durable_transaction
from customvision.api import image_queries
from customvision.models import StoredPrediction, TrainingImage
from predictions import holds, retention
from predictions.models import Feedback, Prediction, Project, Sample
from review import decisions
from review.models import Decision
from training.models import DatasetItem

IMAGES_AT_ONCE = 20  # in one transaction; each takes a dozen statements


def remove_images(samples: Iterable[Sample], *, by: User) -> None:
    """Remove images from the training images, a few in each transaction.

    An image with a decision is discarded by a newer one. One without is deleted, unless users have
    predictions of it.
    """
    keys = [sample.pk for sample in samples]
    for start in range(0, len(keys), IMAGES_AT_ONCE):
        with durable_transaction():
            _remove_images(
                Sample.objects.filter(pk__in=keys[start : start + IMAGES_AT_ONCE]), by=by
            )


def ask_to_remove_all_images(project: Project, *, by: User) -> None:
    """Have the worker remove all present images; those added or tagged later stay."""
    # The keys reached now bound the job, however late it begins
    newest_image = TrainingImage.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    newest_decision = Decision.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    remove_all_images.enqueue(
        project_key=project.pk,
        by_key=by.pk,
        newest_image=newest_image,
        newest_decision=newest_decision,
    )


@task(
    "customvision.remove_images",
    stored_as={
        "project_key": "project",
        "by_key": "by",
        "newest_image": "images",
        "newest_decision": "rulings",
    },
    title=gettext_lazy("Delete the images of a project for the Custom Vision API"),
)
def remove_all_images(
    progress: Progress, project_key: int, by_key: int, newest_image: int, newest_decision: int
) -> None:
    """Do what `ask_to_remove_all_images` asked for. Safe to repeat."""
    by = User.objects.filter(pk=by_key).first()
    project = Project.objects.filter(pk=project_key).first()
    reached = 0
    while by and project:
        progress(0, 0)
        with durable_transaction():
            images = image_queries.current_images(project).filter(
                Q(place_id=None) | Q(place_id__lte=newest_decision),
                Q(training_image=None) | Q(training_image__pk__lte=newest_image),
            )
            following = images.filter(pk__gt=reached).order_by("pk").values_list("pk", flat=True)
            keys = list(following[:IMAGES_AT_ONCE])
            if not keys:
                return
            list(
                Sample.objects.filter(pk__in=keys)
                .select_for_update()
                .order_by("pk")
                .values_list("pk")
            )
            # Asked again: one may have been tagged before its row was locked
            _remove_images(images.filter(pk__in=keys), by=by)
        reached = keys[-1]


def is_going(image: Any) -> bool:
    """Say whether a job is about to remove an image, a row of `current_images` that is locked."""
    removals = [
        remove_all_images.arguments(job)
        for job in remove_all_images.active_jobs(project_key=image.project_id)
    ]
    image_key = TrainingImage.objects.filter(sample=image).values_list("pk", flat=True).first() or 0
    return any(
        (image.place_id or 0) <= removal["newest_decision"] and image_key <= removal["newest_image"]
        for removal in removals
    )


def take_out(samples: Sequence[Sample], *, by: User) -> None:
    """Discard images; their pictures stay. Call it with the rows locked."""
    TrainingImage.objects.filter(sample__in=samples).delete()
    decisions.discard_many(samples, by=by, reason="Deleted through the API")


def _remove_images(samples: QuerySet[Sample], *, by: User) -> None:
    images = list(samples.order_by("pk").select_for_update(of=("self",)))
    take_out(images, by=by)
    for sample in images:
        if not (_has_predictions(sample) or _is_kept(sample, despite_decisions=True)):
            _delete_sample(sample)


@transaction.atomic
def remove_prediction(prediction: Prediction) -> None:
    """Delete a stored prediction, and its picture unless something else needs that.

    One that a user gave feedback on, or that a reviewer was shown, stays in Classifr: it is only
    hidden from this API.
    """
    # Locked first, so that nobody labels the sample while we look whether it is needed
    sample = Sample.objects.select_for_update().get(pk=prediction.sample_id)
    StoredPrediction.objects.filter(prediction=prediction).delete()
    answered = Feedback.objects.filter(prediction=prediction)
    if answered.exists() or Decision.objects.filter(prediction=prediction).exists():
        return
    prediction.delete()
    # What was made of it outlives it: a training image, a decision, an item of a data set
    if not (_has_predictions(sample) or _is_kept(sample)):
        _delete_sample(sample)


def _has_predictions(sample: Sample) -> bool:
    """Say whether predictions are left: then retention decides how long the picture is kept."""
    return sample.predictions.exists()


def _is_kept(sample: Sample, *, despite_decisions: bool = False) -> bool:
    """Say whether some app still needs this picture.

    With `despite_decisions` a sample that was decided is needed only by a data set.
    """
    if despite_decisions and Decision.objects.filter(sample=sample).exists():
        return DatasetItem.objects.filter(sample=sample).exists()
    return Sample.objects.filter(holds.deletion_blocked(), pk=sample.pk).exists()


def _delete_sample(sample: Sample) -> None:
    """Delete a sample, or only its picture if decisions about it must stay in the history."""
    location, file_name = sample.location, sample.file_name
    is_decided = Decision.objects.filter(sample=sample).exists()
    if is_decided:
        Sample.objects.filter(pk=sample.pk).update(location=Sample.Location.NOWHERE, file_name="")
    # The file goes after the commit: a row without its file would be worse than the reverse
    if sample.has_picture:
        retention.enqueue_file_deletion(sample, location, file_name)
    if not is_decided:
        sample.delete()

"""What is kept, and how long: a picture goes when nobody can learn from it any more.

The row stays (who asked, what the model said); only the bytes go. The row is changed first,
together with a job that deletes the file, so that a crash at any point leaves neither a row without
its picture nor a file for ever.
"""

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy

from common.tasks import periodic, task
from predictions import holds, shadow_deployment
from predictions.models import Feedback, Prediction, Project, Sample

SAMPLES_PER_ROUND = 500
UNLIMITED_ATTEMPTS = 1_000_000  # at five minutes each, no outage lasts as long


def delete_picture_after_ok(prediction: Prediction) -> bool:
    """Remove the picture after an OK, if its project collects none and nobody else may need it."""
    if prediction.project.keeps_everything:
        return False
    # Others may have sent the same picture, or the user twice: it waits until all those predictions
    # are answered or old.
    accepted = Feedback.objects.filter(prediction=OuterRef("pk"), verdict=Feedback.Verdict.OK)
    waiting = Prediction.objects.filter(
        sample=OuterRef("pk"), created_at__gte=_oldest_kept()
    ).exclude(Exists(accepted))
    return _delete_picture(prediction.sample_id, unless=_needed() | Q(Exists(waiting)))


@periodic(seconds=300)
def delete_unanswered_pictures() -> int:
    """Remove pictures sent longer than `UNANSWERED_TTL` ago that nobody asked to look at.

    Projects that keep every picture keep these too. Returns how many went.
    """
    since = _oldest_kept()
    collecting = [project.pk for project in Project.objects.all() if project.keeps_everything]
    asked_lately = Exists(Prediction.objects.filter(sample=OuterRef("pk"), created_at__gte=since))
    due = (
        Sample.objects.with_picture()
        .filter(origin=Sample.Origin.UPLOAD, created_at__lt=since)
        .exclude(project__in=collecting)
        .exclude(_needed())
        .exclude(asked_lately)
    )
    # Some at a time, so that a round after a long pause ends soon; the next one goes on.
    keys = due.order_by("pk").values_list("pk", flat=True)[:SAMPLES_PER_ROUND]
    return sum(_delete_picture(key, unless=_needed() | Q(asked_lately)) for key in keys)


@task(
    "predictions.delete_file",
    max_attempts=UNLIMITED_ATTEMPTS,
    stored_as={"sample_key": "sample"},  # `file_name` stays: `orphaned_files` asks for it
    title=gettext_lazy("Delete the file of a picture that is no longer kept"),
)
def delete_file(location: str, file_name: str, sample_key: int) -> None:
    """Delete a file that its sample does not use any more. Safe to repeat.

    The sample's row is locked meanwhile: nobody can give it a picture of the same name before the
    old one is gone.
    """
    with transaction.atomic():
        row = Sample.objects.select_for_update().filter(pk=sample_key).first()
        if row and row.location == location and row.file_name == file_name:
            return
        if row and row.has_picture and location == Sample.Location.MISCLASSIFIED:
            return  # it was sent again, and may be on its way to this very name
        storage = Sample(location=location).storage
        storage.delete(file_name)
        if location == Sample.Location.MISCLASSIFIED:
            storage.delete(facts_file_name(file_name))


def facts_file_name(file_name: str) -> str:
    """Return the name of the JSON beside a picture in `misclassified`."""
    return f"{file_name.rpartition('.')[0]}.json"


def enqueue_file_deletion(sample: Sample, location: str, file_name: str) -> None:
    """Have a worker delete a file, once the caller's transaction has committed."""
    delete_file.enqueue(location=str(location), file_name=file_name, sample_key=sample.pk)


def _oldest_kept() -> datetime:
    return timezone.now() - settings.UNANSWERED_TTL


def _needed() -> Q:
    """Say which samples somebody has asked to look at, has decided or has put into a data set.

    And which a model in shadow has yet to see, for some minutes at most.
    """
    doubts = Feedback.objects.filter(
        prediction__sample=OuterRef("pk"),
        verdict__in=[Feedback.Verdict.NOK, Feedback.Verdict.UNSURE],
    )
    return Q(Exists(doubts)) | holds.deletion_blocked() | Q(shadow_deployment.awaits_shadow())


@transaction.atomic
def _delete_picture(sample_key: int, *, unless: Q) -> bool:
    sample = Sample.objects.select_for_update().filter(pk=sample_key).first()
    if sample is None or not sample.has_picture or sample.origin != Sample.Origin.UPLOAD:
        return False
    # Asked again under the lock, by which a verdict or a decision of this moment is seen.
    if Sample.objects.filter(unless, pk=sample_key).exists():
        return False
    location, file_name = sample.location, sample.file_name
    sample.location, sample.file_name = Sample.Location.NOWHERE, ""
    sample.save(update_fields=["location", "file_name"])
    enqueue_file_deletion(sample, location, file_name)
    return True

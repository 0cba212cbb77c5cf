"""Deleting what clients delete, as far as nothing that Classifr must keep depends on it."""

from collections.abc import Iterable

from django.core.files.storage import storages
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import User
from common import jobs
from common.commits import on_disk
from customvision.api.errors import Fault
from customvision.models import Export, Iteration, StoredPrediction, TrainingImage
from predictions import holds, registry, retention
from predictions.models import Category, Feedback, Prediction, Project, Sample
from review import decisions
from review.models import Decision, FurtherCategory
from training.models import DatasetItem, DatasetVersion, TrainingRun

DELETE_FILES = "customvision.delete_files"
FILES_PER_JOB = 500


@transaction.atomic
def remove_project(project: Project) -> None:
    """Delete a project with everything in it; its files follow in the background.

    Raises:
        Fault: if an iteration is published, a model is live in Classifr, or a run has not ended.
    """
    Project.objects.select_for_update().get(pk=project.pk)
    if Iteration.objects.filter(project=project, deleted_at=None).exclude(publish_name="").exists():
        raise Fault("BadRequestIterationIsPublished", "The project has published iterations. Unpublish them first.")
    if registry.live(project):
        message = "A model of this project is live in Classifr, so it cannot be deleted through this API."
        raise Fault("BadRequestWorkspaceNotDeletable", message)
    if TrainingRun.objects.active().filter(project=project).exists():
        raise Fault("BadRequestTrainingAlreadyInProgress", "The project is being trained.")
    files = _picture_files(project.samples.with_picture()) + _model_files(project)
    files += _export_files(Export.objects.filter(iteration__project=project))
    for start in range(0, len(files), FILES_PER_JOB):
        jobs.enqueue(DELETE_FILES, {"files": files[start : start + FILES_PER_JOB]})
    TrainingRun.objects.filter(project=project).delete()
    DatasetVersion.objects.filter(project=project).delete()
    Decision.objects.filter(sample__project=project).delete()
    project.delete()


@on_disk()
def remove_images(samples: Iterable[Sample], *, by: User) -> None:
    """Take images out of what is learned from.

    A ruling on one is followed by another, that it is of no use; one without goes altogether if nobody asked about it.
    """
    for each in samples:
        sample = Sample.objects.select_for_update().get(pk=each.pk)
        TrainingImage.objects.filter(sample=sample).delete()
        decisions.withdraw(sample, by=by, reason="Deleted through the API")
        if not (_is_asked_about(sample) or _is_kept(sample, despite_rulings=True)):
            _let_go(sample)


@on_disk()
def untag(samples: QuerySet[Sample], categories: Iterable[Category], *, by: User) -> None:
    """Take the rulings back that these samples are of these categories; what else they show goes on to hold."""
    gone = list(categories)
    newer = Decision.objects.filter(sample=OuterRef("sample"), pk__gt=OuterRef("pk"))
    also = Exists(FurtherCategory.objects.filter(decision=OuterRef("pk"), category__in=gone))
    held = Decision.objects.filter(~Exists(newer) & (Q(category__in=gone) | also), sample__in=samples)
    list(samples.filter(pk__in=held.values("sample")).select_for_update().order_by("pk").values_list("pk"))
    for decision in held.select_related("sample__project", "category").prefetch_related("further__category"):
        sample, shown = decision.sample, [decision.category, *(each.category for each in decision.further.all())]
        # It stays an image, also where it came to its tag in Classifr itself
        TrainingImage.objects.get_or_create(sample=sample)
        if left := [one for one in shown if one and one not in gone]:
            decisions.label_with_all(sample.project, [(sample, left)], by=by, reason=decision.reason)
        else:
            decisions.reopen(sample, by=by)


@transaction.atomic
def remove_prediction(prediction: Prediction) -> None:
    """Delete a stored prediction, and its picture unless something else needs that.

    One that a user has answered, or that a reviewer was shown, stays in Classifr and is only not stored any more.
    """
    sample = Sample.objects.select_for_update().get(pk=prediction.sample_id)
    StoredPrediction.objects.filter(prediction=prediction).delete()
    answered = Feedback.objects.filter(prediction=prediction)
    if answered.exists() or Decision.objects.filter(prediction=prediction).exists():
        return
    prediction.delete()
    # What was made of it outlives it: an image to learn from, a ruling, a place in a data set
    if not (_is_asked_about(sample) or _is_kept(sample)):
        _let_go(sample)


def remove_exports(iteration: Iteration) -> None:
    """Delete the archives of an iteration; call it in a transaction."""
    exports = Export.objects.filter(iteration=iteration)
    if files := _export_files(exports):
        jobs.enqueue(DELETE_FILES, {"files": files})
    exports.delete()


def _is_asked_about(sample: Sample) -> bool:
    """Say whether predictions are left of a sample: then the rules for users' pictures go on."""
    return sample.predictions.exists()


def _is_kept(sample: Sample, *, despite_rulings: bool = False) -> bool:
    """Say whether a room keeps this picture; `despite_rulings`: only a data set keeps one that was ruled about."""
    if despite_rulings and Decision.objects.filter(sample=sample).exists():
        return DatasetItem.objects.filter(sample=sample).exists()
    return Sample.objects.filter(holds.kept(), pk=sample.pk).exists()


def _let_go(sample: Sample) -> None:
    """Delete a sample, or at least its picture where a ruling on it is to stay in the history."""
    location, file_name = sample.location, sample.file_name
    is_ruled = Decision.objects.filter(sample=sample).exists()
    if is_ruled:
        Sample.objects.filter(pk=sample.pk).update(location=Sample.Location.NOWHERE, file_name="")
    if sample.has_picture:
        retention.ask_to_delete(sample, location, file_name)
    if not is_ruled:
        sample.delete()


def _picture_files(samples: QuerySet[Sample]) -> list[tuple[str, str]]:
    files = []
    for location, name in samples.values_list("location", "file_name"):
        files.append((str(location), name))
        if location == Sample.Location.MISCLASSIFIED:
            files.append((str(location), retention.facts_name(name)))
    return files


def _model_files(project: Project) -> list[tuple[str, str]]:
    """Return the files of the project's model bundles, which lie in folders below the project's slug."""
    files = []
    for reference in project.model_versions.values_list("reference", flat=True):
        if reference.startswith(f"{project.slug}/"):
            try:
                _folders, names = storages["models"].listdir(reference)
            except FileNotFoundError:
                continue
            files += [("models", f"{reference}/{name}") for name in names]
    return files


def _export_files(exports: QuerySet[Export]) -> list[tuple[str, str]]:
    return [("models", name) for name in exports.exclude(file_name="").values_list("file_name", flat=True)]

"""Deleting projects with everything in them, and files once nothing refers to them."""

from collections.abc import Sequence
from uuid import uuid4

from django.core.files.storage import storages
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy

from common.progress import Progress
from common.tasks import task
from customvision.api.errors import ApiError
from customvision.models import (
    Export,
    ImportedImage,
    ImportedPrediction,
    ImportedProject,
    Iteration,
)
from predictions import registry, retention
from predictions.models import (
    BatchItem,
    Feedback,
    Prediction,
    Project,
    Sample,
    ShadowPrediction,
)
from review.models import AdditionalCategory, Decision
from training import model_downloads
from training.models import (
    AdditionalLabel,
    DatasetImport,
    DatasetItem,
    DatasetVersion,
    TrainingRun,
)

FILES_PER_JOB = 500
ROWS_AT_ONCE = 100  # in one transaction: SQLite has one writer, and a long one blocks the rest


@transaction.atomic
def delete_project(project: Project) -> None:
    """Hide a project, and have the worker delete everything in it.

    Its name, slug and id are free at once.

    Raises:
        ApiError: if an iteration is published, a model is live in Classifr, or a run or an import
            has not ended.
    """
    Project.objects.select_for_update().get(pk=project.pk)
    if Iteration.objects.filter(project=project, deleted_at=None).exclude(publish_name="").exists():
        raise ApiError(
            "BadRequestIterationIsPublished",
            "The project has published iterations. Unpublish them first.",
        )
    if registry.live_version(project):
        message = (
            "A model of this project is live in Classifr, so it cannot be deleted through this API."
        )
        raise ApiError("BadRequestWorkspaceNotDeletable", message)
    if TrainingRun.objects.active().filter(project=project).exists():
        raise ApiError("BadRequestTrainingAlreadyInProgress", "The project is being trained.")
    imports = ImportedProject.objects.filter(project=project).select_related("job")
    if any(one.is_active for one in imports):
        raise ApiError(
            "BadRequestWorkspaceNotDeletable",
            "The project is being imported. Wait for that, or cancel it.",
        )
    # Unlinked from the remote project, so that it can be imported again while this one is deleted
    imports.update(remote_id=uuid4())
    erase_project.enqueue(project_key=project.pk, slug=project.slug)
    Project.objects.filter(pk=project.pk).update(
        removed_at=timezone.now(), uuid=uuid4(), slug=f"removed-{uuid4().hex[:16]}"
    )


@task(
    "customvision.erase_project",
    stored_as={"project_key": "project"},
    title=gettext_lazy("Delete a project for the Custom Vision API"),
)
def erase_project(progress: Progress, project_key: int, slug: str) -> None:
    """Delete a hidden project with all its rows and files, step by step. Safe to repeat."""
    project = Project.everywhere.filter(pk=project_key).exclude(removed_at=None).first()
    if project is None:
        return
    delete_files(
        _model_files(project, slug)
        + _dataset_files(project)
        + _export_files(Export.objects.filter(iteration__project=project))
    )
    # In the order of the foreign keys: what refers to other rows goes before them
    for rows in (
        AdditionalLabel.objects.filter(item__dataset__project=project),
        DatasetItem.objects.filter(dataset__project=project),
        TrainingRun.objects.filter(project=project),
        DatasetVersion.objects.filter(project=project),
        ImportedImage.objects.filter(imported__project=project),
        ImportedPrediction.objects.filter(imported__project=project),
        ShadowPrediction.objects.filter(prediction__project=project),
        Feedback.objects.filter(prediction__project=project),
        BatchItem.objects.filter(batch__project=project),
        Prediction.objects.filter(project=project),
        AdditionalCategory.objects.filter(decision__sample__project=project),
        Decision.objects.filter(sample__project=project),
    ):
        while keys := _some_keys(rows, progress):
            rows.model._base_manager.filter(pk__in=keys).delete()
    samples = project.samples.all()
    while keys := _some_keys(samples, progress):
        with transaction.atomic():
            delete_files(_picture_files(Sample.objects.with_picture().filter(pk__in=keys)))
            Sample.objects.filter(pk__in=keys).delete()
    project.delete()


def _some_keys(rows: QuerySet, progress: Progress) -> list[int]:
    progress(0, 0)
    return list(rows.order_by("pk").values_list("pk", flat=True)[:ROWS_AT_ONCE])


def remove_exports(iteration: Iteration) -> None:
    """Delete the archives of an iteration; call it in a transaction."""
    exports = Export.objects.filter(iteration=iteration)
    delete_files(_export_files(exports))
    exports.delete()


def delete_files(files: Sequence[tuple[str, str]]) -> None:
    """Have files deleted, by storage and name, once the caller's transaction has committed."""
    for start in range(0, len(files), FILES_PER_JOB):
        delete_stored_files.enqueue(files=files[start : start + FILES_PER_JOB])


@task("customvision.delete_files", title=gettext_lazy("Delete files for the Custom Vision API"))
def delete_stored_files(files: Sequence[tuple[str, str]]) -> None:
    """Delete files by storage and name. Safe to repeat."""
    for alias, name in files:
        storages[alias].delete(name)


def _picture_files(samples: QuerySet[Sample]) -> list[tuple[str, str]]:
    files = []
    for location, name in samples.values_list("location", "file_name"):
        files.append((str(location), name))
        if location == Sample.Location.MISCLASSIFIED:
            files.append((str(location), retention.facts_file_name(name)))
    return files


def _model_files(project: Project, slug: str) -> list[tuple[str, str]]:
    """Return the files of the project's model bundles, which lie below its former slug."""
    files = []
    for reference in project.model_versions.values_list("reference", flat=True):
        # A reference to a bundle elsewhere, or to a remote model, is not ours to delete
        if reference.startswith(f"{slug}/"):
            try:
                _folders, names = storages["models"].listdir(reference)
            except FileNotFoundError:
                continue
            files += [("models", f"{reference}/{name}") for name in names]
    for version in project.model_versions.all():
        files += [("models", name) for name in model_downloads.stored_files(version, slug)]
    return files


def _dataset_files(project: Project) -> list[tuple[str, str]]:
    """Return what is kept of data sets that were sent: their files and reports."""
    rows = DatasetImport.objects.filter(project=project)
    names = rows.values_list("file_name", "labels_file", "report_file")
    return [("models", name) for row in names for name in row if name]


def _export_files(exports: QuerySet[Export]) -> list[tuple[str, str]]:
    return [
        ("models", name)
        for name in exports.exclude(file_name="").values_list("file_name", flat=True)
    ]

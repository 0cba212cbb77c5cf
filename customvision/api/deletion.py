"""Deleting what clients delete, as far as nothing that Classifr must keep depends on it."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from django.core.files.storage import storages
from django.db import transaction
from django.db.models import Exists, OuterRef, ProtectedError, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy

from accounts.models import User
from common.progress import Progress
from common.tasks import task
from common.transactions import durable_transaction
from customvision.api import image_queries
from customvision.api.errors import ApiError
from customvision.models import (
    Export,
    ImportedImage,
    ImportedPrediction,
    ImportedProject,
    Iteration,
    RetiredTag,
    StoredPrediction,
    TrainingImage,
)
from predictions import holds, registry, retention
from predictions.models import (
    BatchItem,
    Category,
    Feedback,
    Prediction,
    Project,
    Sample,
    ShadowPrediction,
)
from review import decisions, ground_truth
from review.models import AdditionalCategory, Decision
from training.models import AdditionalLabel, DatasetItem, DatasetVersion, TrainingRun

FILES_PER_JOB = 500
ROWS_AT_ONCE = 100  # in one transaction, which on SQLite nobody else writes beside
IMAGES_AT_ONCE = 20  # each takes a dozen statements


@transaction.atomic
def delete_project(project: Project) -> None:
    """Take a project out of sight, and have everything in it deleted in the background.

    Its name, its slug and its ids are free from now on.

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
    brought_home = ImportedProject.objects.filter(project=project).select_related("job")
    if any(one.is_active for one in brought_home):
        raise ApiError(
            "BadRequestWorkspaceNotDeletable",
            "The project is being imported. Wait for that, or cancel it.",
        )
    brought_home.update(remote_id=uuid4())
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
    """Delete a project that was removed with everything in it, some rows in a transaction. Safe to
    repeat.
    """
    project = Project.everywhere.filter(pk=project_key).exclude(removed_at=None).first()
    if project is None:
        return
    delete_files(
        _model_files(project, slug)
        + _export_files(Export.objects.filter(iteration__project=project))
    )
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


def remove_images(samples: Iterable[Sample], *, by: User) -> None:
    """Take images out of what is learned from, some in a transaction.

    A ruling on one is followed by another, that it is of no use; one without goes altogether if
    nobody asked about it.
    """
    keys = [sample.pk for sample in samples]
    for start in range(0, len(keys), IMAGES_AT_ONCE):
        with durable_transaction():
            _remove_images(
                Sample.objects.filter(pk__in=keys[start : start + IMAGES_AT_ONCE]), by=by
            )


def ask_to_remove_all_images(project: Project, *, by: User) -> None:
    """Have all images removed that are there now: those that come, or are tagged, from now on
    stay.
    """
    newest_image = TrainingImage.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    newest_ruling = Decision.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    remove_all_images.enqueue(
        project_key=project.pk,
        by_key=by.pk,
        newest_image=newest_image,
        newest_ruling=newest_ruling,
    )


@task(
    "customvision.remove_images",
    stored_as={
        "project_key": "project",
        "by_key": "by",
        "newest_image": "images",
        "newest_ruling": "rulings",
    },
    title=gettext_lazy("Delete the images of a project for the Custom Vision API"),
)
def remove_all_images(
    progress: Progress, project_key: int, by_key: int, newest_image: int, newest_ruling: int
) -> None:
    """Do what `ask_to_remove_all_images` asked for. Safe to repeat."""
    by = User.objects.filter(pk=by_key).first()
    project = Project.objects.filter(pk=project_key).first()
    reached = 0
    while by and project:
        progress(0, 0)
        with durable_transaction():
            images = image_queries.current_images(project).filter(
                Q(place_id=None) | Q(place_id__lte=newest_ruling),
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
            # Asked again, now that nobody can tag them any more
            _remove_images(images.filter(pk__in=keys), by=by)
        reached = keys[-1]


def is_going(image: Any) -> bool:
    """Say whether an image, a row of `image_rows`, is one of those that are being removed; its row
    must be locked.
    """
    removals = [
        remove_all_images.arguments(job)
        for job in remove_all_images.active_jobs(project_key=image.project_id)
    ]
    image_key = TrainingImage.objects.filter(sample=image).values_list("pk", flat=True).first() or 0
    return any(
        (image.place_id or 0) <= removal["newest_ruling"] and image_key <= removal["newest_image"]
        for removal in removals
    )


def take_out(samples: Sequence[Sample], *, by: User) -> None:
    """Take images out of what is learned from; the pictures stay. Call it with the rows locked."""
    TrainingImage.objects.filter(sample__in=samples).delete()
    decisions.discard_many(samples, by=by, reason="Deleted through the API")


def _remove_images(samples: QuerySet[Sample], *, by: User) -> None:
    images = list(samples.order_by("pk").select_for_update(of=("self",)))
    take_out(images, by=by)
    for sample in images:
        if not (_is_asked_about(sample) or _is_kept(sample, despite_rulings=True)):
            _let_go(sample)


@durable_transaction()
def remove_tag(category: Category, *, by: User) -> None:
    """Take a tag out of sight and off its images; with many of them the rest is done in the
    background.

    The category itself goes, too, unless past rulings or data sets point at it.
    """
    RetiredTag.objects.get_or_create(category=category)
    if _untag_some(category, by=by) or _forget_some(category):
        erase_tag.using(key=tag_key(category)).enqueue(category_key=category.pk, by_key=by.pk)
    else:
        _forget(category)


@task(
    "customvision.erase_tag",
    stored_as={"category_key": "category", "by_key": "by"},
    title=gettext_lazy("Delete a tag for the Custom Vision API"),
)
def erase_tag(progress: Progress, category_key: int, by_key: int) -> None:
    """Do the rest of `remove_tag`, some rows in a transaction. Safe to repeat."""
    by = User.objects.filter(pk=by_key).first()
    category = Category.objects.filter(pk=category_key).exclude(retired=None).first()
    if by is None or category is None:
        return
    while _untag_some(category, by=by) or _forget_some(category):
        progress(0, 0)
    _forget(category)


def tag_key(category: Category) -> str:
    """Return the key of the job that does the rest of `remove_tag`."""
    return f"{erase_tag.kind}:{category.pk}"


def _untag_some(category: Category, *, by: User) -> bool:
    """Untag some images; say whether there may be more."""
    held = ground_truth.samples_showing(category).order_by("pk").values_list("pk", flat=True)
    keys = list(held[:ROWS_AT_ONCE])
    remove_tags(Sample.objects.filter(pk__in=keys), [category], by=by)
    return len(keys) == ROWS_AT_ONCE


@transaction.atomic
def _forget_some(category: Category) -> bool:
    """Have some answers and verdicts no longer point at a category that goes; say whether there may
    be more.
    """
    if _is_pointed_at(category):
        return False
    # What users said it is stays said, as with a name that no category has yet; answers know their
    # names anyway
    changes: list[tuple[QuerySet, dict[str, Any]]] = [
        (
            Feedback.objects.filter(category=category),
            {"category": None, "suggestion": category.name},
        ),
        (Prediction.objects.filter(top=category), {"top": None}),
        (ShadowPrediction.objects.filter(top=category), {"top": None}),
    ]
    is_more = False
    for rows, change in changes:
        keys = list(rows.values_list("pk", flat=True)[:ROWS_AT_ONCE])
        rows.model._base_manager.filter(pk__in=keys).update(**change)
        is_more = is_more or len(keys) == ROWS_AT_ONCE
    return is_more


def _is_pointed_at(category: Category) -> bool:
    rows = (
        Decision.objects,
        AdditionalCategory.objects,
        DatasetItem.objects,
        AdditionalLabel.objects,
    )
    return any(each.filter(category=category).exists() for each in rows)


def _forget(category: Category) -> None:
    if not _is_pointed_at(category):
        with suppress(ProtectedError), transaction.atomic():
            category.delete()


def _some_keys(rows: QuerySet, progress: Progress) -> list[int]:
    progress(0, 0)
    return list(rows.order_by("pk").values_list("pk", flat=True)[:ROWS_AT_ONCE])


@durable_transaction()
def remove_tags(samples: QuerySet[Sample], categories: Iterable[Category], *, by: User) -> None:
    """Take the rulings back that these samples are of these categories; what else they show goes on
    to hold.
    """
    gone = list(categories)
    also = Exists(AdditionalCategory.objects.filter(decision=OuterRef("pk"), category__in=gone))
    held = Decision.objects.in_force().filter(Q(category__in=gone) | also, sample__in=samples)
    list(
        samples.filter(pk__in=held.values("sample"))
        .select_for_update()
        .order_by("pk")
        .values_list("pk")
    )
    for decision in held.select_related("sample__project", "category").prefetch_related(
        "additional_categories__category"
    ):
        sample, shown = (
            decision.sample,
            [decision.category, *(each.category for each in decision.additional_categories.all())],
        )
        # It stays an image, also where it came to its tag in Classifr itself
        TrainingImage.objects.get_or_create(sample=sample)
        if left := [one for one in shown if one and one not in gone]:
            decisions.label_many_multilabel(
                sample.project, [(sample, left)], by=by, reason=decision.reason
            )
        else:
            decisions.reopen(sample, by=by)


@transaction.atomic
def remove_prediction(prediction: Prediction) -> None:
    """Delete a stored prediction, and its picture unless something else needs that.

    One that a user has answered, or that a reviewer was shown, stays in Classifr and is only not
    stored any more.
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


def _is_asked_about(sample: Sample) -> bool:
    """Say whether predictions are left of a sample: then the rules for users' pictures go on."""
    return sample.predictions.exists()


def _is_kept(sample: Sample, *, despite_rulings: bool = False) -> bool:
    """Say whether a room keeps this picture; `despite_rulings`: only a data set keeps one that was
    ruled about.
    """
    if despite_rulings and Decision.objects.filter(sample=sample).exists():
        return DatasetItem.objects.filter(sample=sample).exists()
    return Sample.objects.filter(holds.deletion_blocked(), pk=sample.pk).exists()


def _let_go(sample: Sample) -> None:
    """Delete a sample, or at least its picture where a ruling on it is to stay in the history."""
    location, file_name = sample.location, sample.file_name
    is_ruled = Decision.objects.filter(sample=sample).exists()
    if is_ruled:
        Sample.objects.filter(pk=sample.pk).update(location=Sample.Location.NOWHERE, file_name="")
    if sample.has_picture:
        retention.enqueue_file_deletion(sample, location, file_name)
    if not is_ruled:
        sample.delete()


def _picture_files(samples: QuerySet[Sample]) -> list[tuple[str, str]]:
    files = []
    for location, name in samples.values_list("location", "file_name"):
        files.append((str(location), name))
        if location == Sample.Location.MISCLASSIFIED:
            files.append((str(location), retention.facts_file_name(name)))
    return files


def _model_files(project: Project, slug: str) -> list[tuple[str, str]]:
    """Return the files of the project's model bundles, which lie in folders below the project's
    slug.
    """
    files = []
    for reference in project.model_versions.values_list("reference", flat=True):
        if reference.startswith(f"{slug}/"):
            try:
                _folders, names = storages["models"].listdir(reference)
            except FileNotFoundError:
                continue
            files += [("models", f"{reference}/{name}") for name in names]
    return files


def _export_files(exports: QuerySet[Export]) -> list[tuple[str, str]]:
    return [
        ("models", name)
        for name in exports.exclude(file_name="").values_list("file_name", flat=True)
    ]

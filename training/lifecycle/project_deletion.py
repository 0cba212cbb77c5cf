"""Deleting a project with everything in it: out of sight at once, then bit by bit."""

from uuid import uuid4

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.errors import Conflict, InvalidInput
from common.names import comparison_key
from common.progress import Progress
from common.tasks import task
from predictions.models import (
    BatchItem,
    Category,
    Feedback,
    Prediction,
    Project,
    Sample,
    ShadowPrediction,
)
from review.models import AdditionalCategory, Decision
from training.lifecycle import belongings, stored_files
from training.models import (
    AdditionalLabel,
    DatasetImport,
    DatasetItem,
    DatasetVersion,
    TrainingRun,
)

ROWS_AT_ONCE = 100  # in one transaction: SQLite has one writer, and a long one blocks the rest


class ProjectBusy(Conflict):
    """Something of the project is under way that has to end first."""

    code = "project_busy"


class RunUnderWay(ProjectBusy):
    code = "run_active"


def delete_named_project(project: Project, *, typed: str) -> None:
    """Delete a project whose name somebody has typed, so that it is no slip of the finger.

    Raises:
        InvalidInput: if they typed another name.
        ProjectBusy: as `delete_project`.
    """
    if comparison_key(typed) != comparison_key(project.name):
        sentence = _("This is not the name of the project, so nothing was deleted. Type: %(name)s")
        text = sentence % {"name": project.name}
        raise InvalidInput(text, fields={"name": [text]})
    delete_project(project)


@transaction.atomic
def delete_project(project: Project) -> None:
    """Hide a project, and have a worker delete everything in it.

    Its name, slug and id are free at once. A live model is no obstacle: whoever must keep it asks
    before.

    Raises:
        RunUnderWay: if a run has not ended.
        ProjectBusy: if an import has not ended, or for what an app above has under way.
    """
    Project.objects.select_for_update().get(pk=project.pk)
    _refuse_busy(project)
    belongings.let_go(project)
    # Runs of sweeps whose turn has not come: nobody shall begin them
    TrainingRun.objects.queued().filter(project=project).update(
        status=TrainingRun.Status.CANCELLED, finished_at=timezone.now()
    )
    erase_project.enqueue(project_key=project.pk, slug=project.slug)
    Project.objects.filter(pk=project.pk).update(
        removed_at=timezone.now(), uuid=uuid4(), slug=f"removed-{uuid4().hex[:16]}"
    )


@task(
    "training.erase_project",
    stored_as={"project_key": "project"},
    title=gettext_lazy("Delete a project with everything in it"),
)
def erase_project(progress: Progress, project_key: int, slug: str) -> None:
    """Delete a hidden project with all its rows and files, step by step. Safe to repeat."""
    project = Project.everywhere.filter(pk=project_key).exclude(removed_at=None).first()
    if project is None:
        return
    stored_files.delete_files(
        stored_files.model_files(project, slug)
        + stored_files.import_files(project)
        + belongings.files_of(project)
    )
    # In the order of the foreign keys: what refers to other rows goes before them
    for rows in (
        *belongings.rows_of(project),
        AdditionalLabel.objects.filter(item__dataset__project=project),
        DatasetItem.objects.filter(dataset__project=project),
        TrainingRun.objects.filter(project=project),
        DatasetVersion.objects.filter(project=project),
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
            pictures = Sample.objects.with_picture().filter(pk__in=keys)
            stored_files.delete_files(stored_files.picture_files(pictures))
            Sample.objects.filter(pk__in=keys).delete()
    Category.everywhere.filter(project=project).delete()
    project.delete()


def _refuse_busy(project: Project) -> None:
    if run := TrainingRun.objects.active().filter(project=project).first():
        raise RunUnderWay(
            _(
                "The project is being trained: cancel run %(number)d on its page or wait for it, "
                "then delete the project."
            )
            % {"number": run.pk}
        )
    refuse_while_importing(project)


def refuse_while_importing(project: Project) -> None:
    """Raise ProjectBusy while something is imported into a project: it would bring new rows."""
    sent = DatasetImport.objects.filter(project=project).select_related("job")
    if any(each.is_active for each in sent):
        raise ProjectBusy(
            _(
                "A data set is being imported into the project: cancel that on its page or wait "
                "for it, then try again."
            )
        )
    for obstacle in belongings.obstacles(project):
        raise ProjectBusy(obstacle)


def _some_keys(rows: QuerySet, progress: Progress) -> list[int]:
    progress(0, 0)
    return list(rows.order_by("pk").values_list("pk", flat=True)[:ROWS_AT_ONCE])

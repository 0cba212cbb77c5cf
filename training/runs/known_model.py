"""A first model without any picture: of categories that the backbone knows from ImageNet.

It is a model version like any other, and answers at once. Runs correct it with labelled pictures.
"""

from contextlib import suppress

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common import jobs
from common.models import Job
from common.progress import Progress, no_progress
from common.tasks import task
from predictions import registry
from predictions.models import ModelVersion, Project
from predictions.predictors.base import ModelRef
from training.data import known_categories
from training.data.datasets import MIN_CATEGORIES
from training.errors import TrainingFailed
from training.evaluation.evaluations import class_uuids
from training.runs import promotion, submission
from training.trainers.base import TrainingTask, trainers

WITHOUT_PICTURES = "without_pictures"  # in the manifest of such a model


def request_known_model(project: Project) -> Job | None:
    """Have a worker make the model of the known categories and promote it, where that helps.

    None where it does not: there are fewer than two, or the live model has learned from pictures,
    and so the next run takes them in. Also where a worker is about to.
    """
    live = registry.live_version(project)
    if live is not None and not live.manifest.get(WITHOUT_PICTURES):
        return None
    if len(known_categories.known_classes(project)) < MIN_CATEGORIES:
        return None
    with suppress(jobs.AlreadyEnqueued):
        return make_in_background.using(key=f"known:{project.pk}").enqueue(project_key=project.pk)
    return None


@task(
    "training.known_model",
    queue="training",
    stored_as={"project_key": "project"},
    keeps_language=True,
    title=gettext_lazy("Make a model of known categories"),
)
def make_in_background(progress: Progress, project_key: int) -> None:
    """Make the model; again, if categories were added meanwhile."""
    project = Project.objects.filter(pk=project_key).first()
    while project and make_known_model(project, progress) is not None:
        pass


def make_known_model(project: Project, progress: Progress = no_progress) -> ModelVersion | None:
    """Make, register and promote a model of the known categories.

    None if there is nothing to do: the live model is that model, or has learned from pictures.

    Raises:
        TrainingFailed: there are fewer than two, or the project's trainer cannot.
    """
    known = known_categories.known_classes(project)
    class_names = tuple(sorted(known))
    live = registry.live_version(project)
    if live and (not live.manifest.get(WITHOUT_PICTURES) or _is_of(live, known)):
        return None
    if len(class_names) < MIN_CATEGORIES:
        raise TrainingFailed(
            _("A model needs at least two categories to tell apart. Add another category.")
        )
    made = trainers[submission.project_trainer_alias(project)].start_without_pictures(
        TrainingTask(
            project=project.slug,
            project_id=str(project.uuid),
            class_names=class_names,
            examples=(),
            known=known,
        ),
        progress,
    )
    # Before the transaction, which would hold its locks while a model is loaded
    if problem := promotion.load_problem(
        made.predictor, ModelRef(made.reference, made.class_names, made.digest)
    ):
        raise TrainingFailed(problem)
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        # A run may have ended meanwhile: what has learned from pictures is not replaced
        if registry.live_version(project) != live:
            return None
        version = registry.register_version(
            project,
            predictor=made.predictor,
            reference=made.reference,
            class_names=list(class_names),
            digest=made.digest,
            manifest={
                **made.manifest,
                WITHOUT_PICTURES: known,
                "category_uuids": class_uuids(class_names, list(project.categories.all())),
            },
            description=_("Known categories, without pictures"),
        )
        registry.promote_version(version, by=None, reason=_("It answers without any picture."))
    return version


def _is_of(live: ModelVersion, known: dict[str, list[int]]) -> bool:
    return live.manifest[WITHOUT_PICTURES] == known

"""Iterations: a project's training runs and other model versions, by ids that clients know."""

from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import roles
from customvision.api import deletion, responses
from customvision.api.api_request import ApiRequest, get_member
from customvision.api.errors import ApiError, not_implemented
from customvision.api.projects import workspace_of
from customvision.api.routing import NO_CONTENT, Reply, register_operation
from customvision.models import Iteration
from predictions import registry
from predictions.models import ModelVersion, Project
from training.data import datasets
from training.evaluation import thresholds
from training.models import TrainingRun
from training.runs import execution, submission

ITERATIONS = "projects/{projectId}/iterations"
ONE = f"{ITERATIONS}/{{iterationId}}"


@register_operation("TrainProject", "POST", "projects/{projectId}/train", roles.TRAIN)
def train_project(call: ApiRequest) -> Reply:
    """Submit a run. Its model serves nobody until it is published here or promoted in Classifr."""
    project, body = call.project, call.json()
    if get_member(body, "selectedTags", list, []) or get_member(
        body, "customBaseModelInfo", dict, {}
    ):
        raise not_implemented("training with selected tags or with a base model")
    # The service refuses to train the same images twice; the digest of the data set tells
    newest = TrainingRun.objects.filter(
        project=project, status=TrainingRun.Status.SUCCEEDED
    ).first()
    if (
        newest
        and not call.boolean("forceTrain")
        and newest.dataset.digest == datasets.collect_labelled(project).digest
    ):
        raise ApiError("BadRequestTrainingNotNeeded", "Nothing changed since last training")
    try:
        run = submission.submit_run(project, by=call.user)
    except submission.RunActive as error:
        raise ApiError(
            "BadRequestTrainingAlreadyInProgress", "Training already in progress"
        ) from error
    except datasets.NotEnoughData as error:
        raise ApiError("BadRequestTrainingValidationFailed", str(error)) from error
    found = next(one for one in project_iterations(project) if one.run_id == run.pk)
    return Reply(responses.iteration(call, found, workspace_of(project)))


@register_operation("GetIterations", "GET", ITERATIONS, roles.TRAIN)
def get_iterations(call: ApiRequest) -> Reply:
    """List the iterations, the newest first: programs take the first for the newest."""
    # Clients poll this for as long as an iteration is "Training", so a dead run must not stay so
    execution.end_abandoned_runs(call.project)
    workspace = workspace_of(call.project)
    newest_first = reversed(project_iterations(call.project))
    return Reply([responses.iteration(call, one, workspace) for one in newest_first])


@register_operation("GetIteration", "GET", ONE, roles.TRAIN)
def get_iteration(call: ApiRequest) -> Reply:
    return Reply(responses.iteration(call, iteration_from_path(call), workspace_of(call.project)))


@register_operation("UpdateIteration", "PATCH", ONE, roles.TRAIN)
def update_iteration(call: ApiRequest) -> Reply:
    one, name = iteration_from_path(call), get_member(call.json(), "name", str, "").strip()
    if not name or len(name) > 100:
        raise ApiError(
            "BadRequestIterationName", "An iteration needs a name of at most 100 characters."
        )
    if any(other.name == name and other != one for other in project_iterations(call.project)):
        raise ApiError("BadRequestIterationNameNotUnique", "The iteration name is not unique.")
    one.name, one.modified_at = name, timezone.now()
    one.save(update_fields=["name", "modified_at"])
    return Reply(responses.iteration(call, one, workspace_of(call.project)))


@register_operation("DeleteIteration", "DELETE", ONE, roles.TRAIN)
@transaction.atomic
def delete_iteration(call: ApiRequest) -> Reply:
    """Hide an iteration. Its run, its model and the model's predictions stay in Classifr."""
    one = iteration_from_path(call)
    if one.publish_name:
        raise ApiError(
            "BadRequestIterationIsPublished", "The iteration is published. Unpublish it first."
        )
    if one.run and one.run.is_active:
        raise ApiError("BadRequestTrainingAlreadyInProgress", "The iteration is being trained.")
    one.deleted_at = timezone.now()
    one.save(update_fields=["deleted_at"])
    deletion.remove_exports(one)
    return NO_CONTENT


@register_operation("PublishIteration", "POST", f"{ONE}/publish", roles.PROMOTE)
def publish(call: ApiRequest) -> Reply:
    """Publish an iteration under a name. The model that is live in Classifr stays the same."""
    one, name = iteration_from_path(call), call.required("publishName")
    # Clients put the name into a path
    if len(name) > 100 or "/" in name or not name.isprintable() or name != name.strip():
        message = "A publish name has at most 100 characters, no slash, and no blanks around it."
        raise ApiError("BadRequestInvalidPublishName", message)
    if one.version is None:
        raise ApiError("BadRequestIterationIsNotTrained", "The iteration is not trained.")
    if one.publish_name and one.publish_name != name:
        message = f'The iteration is published as "{one.publish_name}". Unpublish it first.'
        raise ApiError("BadRequestIterationIsPublished", message)
    overwrite = call.version >= (3, 3) and call.boolean("overwrite")
    try:
        with transaction.atomic():
            taken = Iteration.objects.filter(project=call.project, publish_name=name).exclude(
                pk=one.pk
            )
            if overwrite:
                taken.update(publish_name="", publish_target="", modified_at=timezone.now())
            _set_publication(one, name, call.text("predictionId")[:300])
    # The constraint decides: two clients may publish under the same name at once
    except IntegrityError as error:
        message = f'Another iteration is published as "{name}". Unpublish it, or overwrite.'
        raise ApiError("BadRequestInvalidPublishName", message) from error
    return Reply(True)


@register_operation("UnpublishIteration", "DELETE", f"{ONE}/publish", roles.PROMOTE)
def unpublish(call: ApiRequest) -> Reply:
    one = iteration_from_path(call)
    if not one.publish_name:
        raise ApiError("BadRequestIterationNotPublished", "The iteration is not published.")
    _set_publication(one, "", "")
    return NO_CONTENT


@register_operation("GetIterationPerformance", "GET", f"{ONE}/performance", roles.TRAIN)
def get_performance(call: ApiRequest) -> Reply:
    """Return an iteration's metrics on its test split, overall and for each tag by itself."""
    one, threshold = iteration_from_path(call), call.fraction("threshold", 0.5)
    version = one.version
    # The first is on the data set that the run was trained on; later ones are comparisons
    evaluation = version.evaluations.order_by("pk").first() if version else None
    if version is None or evaluation is None:
        raise ApiError(
            "NotFoundIterationPerformance",
            "The iteration was not measured: it has no test pictures.",
        )
    measured = thresholds.metrics_at(evaluation, threshold)
    ids = responses.tag_ids(version)
    return Reply(
        {
            "perTagPerformance": [
                {"id": str(ids[name]), "name": name, **_figures(figures)}
                for name, figures in measured.per_category.items()
                if name in ids
            ],
            **_figures(measured.overall),
        }
    )


def project_iterations(project: Project) -> list[Iteration]:
    """Return a project's iterations, the oldest first; new runs and versions become iterations."""
    known = Iteration.objects.filter(project=project)
    new = [
        Iteration(project=project, run=run)
        for run in TrainingRun.objects.filter(project=project, iteration=None).order_by("pk")
    ] + [
        Iteration(project=project, own_version=version)
        for version in ModelVersion.objects.filter(
            project=project, run=None, iteration=None
        ).order_by("pk")
    ]
    if new:
        # Deleted ones are counted, too: no number is given twice
        number = known.count()
        for one in new:
            number += 1
            one.name = f"Iteration {number}"
        # Another request may have created them in the meantime
        Iteration.objects.bulk_create(new, ignore_conflicts=True)
    return list(
        known.filter(deleted_at=None).select_related(
            "run__model_version", "run__dataset", "own_version"
        )
    )


def get_iteration_by_id(project: Project, uuid: UUID) -> Iteration:
    found = next((one for one in project_iterations(project) if one.uuid == uuid), None)
    if found is None:
        raise ApiError("NotFoundIteration", "Invalid iteration")
    return found


def requested_iteration(call: ApiRequest) -> Iteration | None:
    """Return the iteration that the query names, or None."""
    ids = call.uuids("iterationId", 1)
    return get_iteration_by_id(call.project, ids[0]) if ids else None


def default_iteration(project: Project) -> Iteration:
    """Return the iteration to use where none is named: the live one, or else the newest trained."""
    trained = [one for one in project_iterations(project) if one.version]
    live = registry.live_version(project)
    for one in reversed(trained):
        if one.version == live:
            return one
    if not trained:
        raise ApiError("NotFoundProjectDefaultIteration", "The project has no trained iteration.")
    return trained[-1]


def iteration_from_path(call: ApiRequest) -> Iteration:
    """Return the iteration that the path names. Raises ApiError."""
    return get_iteration_by_id(call.project, call.uuid("iterationId", "NotFoundIteration"))


def _set_publication(one: Iteration, name: str, target: str) -> None:
    one.publish_name, one.publish_target, one.modified_at = name, target, timezone.now()
    one.save(update_fields=["publish_name", "publish_target", "modified_at"])


def _figures(figures: thresholds.PrecisionRecall) -> dict[str, float | None]:
    return {
        "precision": figures.precision,
        # The service cross-validates; a single test split has no deviation
        "precisionStdDeviation": 0.0,
        "recall": figures.recall,
        "recallStdDeviation": 0.0,
        "averagePrecision": figures.average_precision,
    }

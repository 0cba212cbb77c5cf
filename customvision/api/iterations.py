"""Iterations: the runs of a project, and the versions that no run made, under ids and names that clients know."""

from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import roles
from customvision.api import deletion, responses
from customvision.api.api_request import Call, member
from customvision.api.errors import Fault, not_implemented
from customvision.api.projects import of as workspace_of
from customvision.api.routing import NO_CONTENT, Reply, operation
from customvision.models import Iteration
from predictions import registry
from predictions.models import ModelVersion, Project
from training.data import datasets
from training.evaluation import thresholds
from training.models import TrainingRun
from training.runs import execution, submission

ITERATIONS = "projects/{projectId}/iterations"
ONE = f"{ITERATIONS}/{{iterationId}}"


@operation("TrainProject", "POST", "projects/{projectId}/train", roles.TRAIN)
def train(call: Call) -> Reply:
    """Ask for a run. What it makes answers nobody before it is published here or promoted in Classifr."""
    project, body = call.project, call.json()
    if member(body, "selectedTags", list, []) or member(body, "customBaseModelInfo", dict, {}):
        raise not_implemented("training with selected tags or with a base model")
    newest = TrainingRun.objects.filter(project=project, status=TrainingRun.Status.SUCCEEDED).first()
    if newest and not call.boolean("forceTrain") and newest.dataset.digest == datasets.collect(project).digest:
        raise Fault("BadRequestTrainingNotNeeded", "Nothing changed since last training")
    try:
        run = submission.request(project, by=call.user)
    except submission.RunActive as error:
        raise Fault("BadRequestTrainingAlreadyInProgress", "Training already in progress") from error
    except datasets.TooLittleToLearn as error:
        raise Fault("BadRequestTrainingValidationFailed", str(error)) from error
    found = next(one for one in all_of(project) if one.run_id == run.pk)
    return Reply(responses.iteration(call, found, workspace_of(project)))


@operation("GetIterations", "GET", ITERATIONS, roles.TRAIN)
def get_iterations(call: Call) -> Reply:
    execution.settle_abandoned(call.project)
    workspace = workspace_of(call.project)
    return Reply([responses.iteration(call, one, workspace) for one in all_of(call.project)])


@operation("GetIteration", "GET", ONE, roles.TRAIN)
def get_iteration(call: Call) -> Reply:
    return Reply(responses.iteration(call, named(call), workspace_of(call.project)))


@operation("UpdateIteration", "PATCH", ONE, roles.TRAIN)
def update_iteration(call: Call) -> Reply:
    one, name = named(call), member(call.json(), "name", str, "").strip()
    if not name or len(name) > 100:
        raise Fault("BadRequestIterationName", "An iteration needs a name of at most 100 characters.")
    if any(other.name == name and other != one for other in all_of(call.project)):
        raise Fault("BadRequestIterationNameNotUnique", "The iteration name is not unique.")
    one.name, one.modified_at = name, timezone.now()
    one.save(update_fields=["name", "modified_at"])
    return Reply(responses.iteration(call, one, workspace_of(call.project)))


@operation("DeleteIteration", "DELETE", ONE, roles.TRAIN)
@transaction.atomic
def delete_iteration(call: Call) -> Reply:
    """Hide an iteration. Its run, its model and what that answered stay in Classifr."""
    one = named(call)
    if one.publish_name:
        raise Fault("BadRequestIterationIsPublished", "The iteration is published. Unpublish it first.")
    if one.run and one.run.is_active:
        raise Fault("BadRequestTrainingAlreadyInProgress", "The iteration is being trained.")
    one.deleted_at = timezone.now()
    one.save(update_fields=["deleted_at"])
    deletion.remove_exports(one)
    return NO_CONTENT


@operation("PublishIteration", "POST", f"{ONE}/publish", roles.PROMOTE)
def publish(call: Call) -> Reply:
    """Let an iteration answer under a name. Which model answers on Classifr's pages is another matter."""
    one, name = named(call), call.required("publishName")
    if len(name) > 100 or "/" in name or not name.isprintable() or name != name.strip():
        message = "A publish name has at most 100 characters, no slash, and no blanks around it."
        raise Fault("BadRequestInvalidPublishName", message)
    if one.version is None:
        raise Fault("BadRequestIterationIsNotTrained", "The iteration is not trained.")
    if one.publish_name and one.publish_name != name:
        message = f'The iteration is published as "{one.publish_name}". Unpublish it first.'
        raise Fault("BadRequestIterationIsPublished", message)
    overwrite = call.version >= (3, 3) and call.boolean("overwrite")
    try:
        with transaction.atomic():
            taken = Iteration.objects.filter(project=call.project, publish_name=name).exclude(pk=one.pk)
            if overwrite:
                taken.update(publish_name="", publish_target="", modified_at=timezone.now())
            _set_publication(one, name, call.text("predictionId")[:300])
    except IntegrityError as error:
        message = f'Another iteration is published as "{name}". Unpublish it, or overwrite.'
        raise Fault("BadRequestInvalidPublishName", message) from error
    return Reply(True)


@operation("UnpublishIteration", "DELETE", f"{ONE}/publish", roles.PROMOTE)
def unpublish(call: Call) -> Reply:
    one = named(call)
    if not one.publish_name:
        raise Fault("BadRequestIterationNotPublished", "The iteration is not published.")
    _set_publication(one, "", "")
    return NO_CONTENT


@operation("GetIterationPerformance", "GET", f"{ONE}/performance", roles.TRAIN)
def get_performance(call: Call) -> Reply:
    """Say how well an iteration did on its own test pictures; every tag is counted by itself."""
    one, threshold = named(call), call.fraction("threshold", 0.5)
    version = one.version
    evaluation = version.evaluations.order_by("pk").first() if version else None
    if version is None or evaluation is None:
        raise Fault("NotFoundIterationPerformance", "The iteration was not measured: it has no test pictures.")
    measured = thresholds.at(evaluation, threshold)
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


def all_of(project: Project) -> list[Iteration]:
    """Return the iterations of a project, the oldest first; runs and versions that are new become iterations."""
    known = Iteration.objects.filter(project=project)
    new = [
        Iteration(project=project, run=run)
        for run in TrainingRun.objects.filter(project=project, iteration=None).order_by("pk")
    ] + [
        Iteration(project=project, own_version=version)
        for version in ModelVersion.objects.filter(project=project, run=None, iteration=None).order_by("pk")
    ]
    if new:
        number = known.count()
        for one in new:
            number += 1
            one.name = f"Iteration {number}"
        Iteration.objects.bulk_create(new, ignore_conflicts=True)
    return list(known.filter(deleted_at=None).select_related("run__model_version", "run__dataset", "own_version"))


def by_id(project: Project, uuid: UUID) -> Iteration:
    found = next((one for one in all_of(project) if one.uuid == uuid), None)
    if found is None:
        raise Fault("NotFoundIteration", "Invalid iteration")
    return found


def asked_for(call: Call) -> Iteration | None:
    """Return the iteration that the query names, or None."""
    ids = call.uuids("iterationId", 1)
    return by_id(call.project, ids[0]) if ids else None


def default_of(project: Project) -> Iteration:
    """Return the iteration that answers where none is named: the live one, or else the newest that is trained."""
    trained = [one for one in all_of(project) if one.version]
    live = registry.live(project)
    for one in reversed(trained):
        if one.version == live:
            return one
    if not trained:
        raise Fault("NotFoundProjectDefaultIteration", "The project has no trained iteration.")
    return trained[-1]


def named(call: Call) -> Iteration:
    """Return the iteration that the path names. Raises Fault."""
    return by_id(call.project, call.uuid("iterationId", "NotFoundIteration"))


def _set_publication(one: Iteration, name: str, target: str) -> None:
    one.publish_name, one.publish_target, one.modified_at = name, target, timezone.now()
    one.save(update_fields=["publish_name", "publish_target", "modified_at"])


def _figures(figures: thresholds.Figures) -> dict[str, float | None]:
    return {
        "precision": figures.precision,
        "precisionStdDeviation": 0.0,
        "recall": figures.recall,
        "recallStdDeviation": 0.0,
        "averagePrecision": figures.average_precision,
    }

"""Rows as the JSON of Custom Vision, with the members that the requested version specifies."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from customvision import domains
from customvision.api import picture_links
from customvision.api.api_request import ApiRequest
from customvision.models import Iteration, Workspace
from predictions import registry
from predictions.models import Category, ModelVersion, Prediction, Project
from training import exports
from training.models import TrainingRun

_STATUS = {
    TrainingRun.Status.WAITING: "Training",
    TrainingRun.Status.RUNNING: "Training",
    TrainingRun.Status.SUCCEEDED: "Completed",
    TrainingRun.Status.FAILED: "Failed",
    TrainingRun.Status.CANCELLED: "Failed",
}
EXPORTABLE_TO = ("TensorFlow", "ONNX")


def format_moment(value: datetime) -> str:
    """Return a time in UTC with three decimals and a Z."""
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"


def format_image_moment(value: datetime) -> str:
    """Return a time in UTC as images have it, with seven decimals and no zone."""
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}0"


def domain(call: ApiRequest, one: domains.Domain) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "id": str(one.id),
        "name": one.name,
        "type": "Classification",
        "exportable": True,
        "enabled": True,
    }
    if call.version >= (3, 4):
        answer["exportablePlatforms"] = list(EXPORTABLE_TO)
    return answer


def project(call: ApiRequest, one: Project) -> dict[str, Any]:
    # A project made on Classifr's pages has none; reading must not write one
    workspace = getattr(one, "workspace", None) or Workspace(
        project=one, modified_at=one.created_at
    )
    answer = {
        "id": str(one.uuid),
        "name": one.name,
        "description": one.description,
        "settings": {
            "domainId": str(workspace.domain),
            "classificationType": classification_type(one),
            "targetExportPlatforms": [],
        },
        "created": format_moment(one.created_at),
        "lastModified": format_moment(workspace.modified_at),
        "drModeEnabled": False,
    }
    if call.version >= (3, 1):
        answer["settings"]["useNegativeSet"] = False  # type: ignore[index]
    if call.version >= (3, 2):
        answer["status"] = "Succeeded"
    return answer


def classification_type(of: Project) -> str:
    return "Multilabel" if of.multilabel else "Multiclass"


def tag(one: Category, image_count: int) -> dict[str, Any]:
    return {
        "id": str(one.uuid),
        "name": one.name,
        "description": one.description,
        "type": "Regular",
        "imageCount": image_count,
    }


def image(call: ApiRequest, row: Any, tags: Iterable[Category]) -> dict[str, Any]:
    """Return an image, a row of `current_images`. Without a tag it has no member `tags`."""
    answer = {
        "id": str(row.uuid),
        "created": format_image_moment(row.added_at or row.created_at),
        "width": row.width,
        "height": row.height,
        **picture_links.signed_urls(call.request, row),
    }
    named = [
        {"tagId": str(one.uuid), "tagName": one.name, "created": format_image_moment(row.tagged_at)}
        for one in tags
    ]
    return answer | ({"tags": named} if named else {})


def iteration(call: ApiRequest, one: Iteration, of: Workspace) -> dict[str, Any]:
    """Return an iteration.

    Where the specification forbids null, unknown members are left out, except `publishName`.
    """
    run, version = one.run, one.version
    status = _STATUS[TrainingRun.Status(run.status)] if run else "Completed"
    is_done = status == "Completed"
    is_exportable = bool(is_done and version and version.predictor == exports.PREDICTOR)
    began = run.created_at if run else one.own_version.created_at  # type: ignore[union-attr]
    ended = (run.finished_at if run else began) if status != "Training" else None
    answer: dict[str, Any] = {
        "id": str(one.uuid),
        "name": one.name,
        "status": status,
        "created": format_moment(began),
        "lastModified": format_moment(
            max(filter(None, (began, ended, one.modified_at if one.publish_name else None)))
        ),
        "projectId": str(of.project.uuid),
        "exportable": is_exportable,
        "exportableTo": list(EXPORTABLE_TO) if is_exportable else [],
        "domainId": str(of.domain) if is_done else None,
        "classificationType": classification_type(of.project) if is_done else None,
        "trainingType": "Regular",
        "reservedBudgetInHours": 0,
        # Null while it is not published, though the specification allows none: the service sends
        # it so, and programs that read raw JSON index it
        "publishName": one.publish_name or None,
    }
    # `trainedAt` is the time of a success; a failed run has ended, too
    if is_done and version and ended:
        answer["trainedAt"] = format_moment(ended)
    if call.version >= (3, 1):
        answer["trainingTimeInMinutes"] = _minutes(run)
    if one.publish_name:
        answer["originalPublishResourceId"] = one.publish_target
    if call.version >= (3, 4) and run and status == "Failed":
        answer["trainingErrorDetails"] = run.error or "The training was cancelled."
    return answer


def tag_ids(version: ModelVersion) -> dict[str, UUID]:
    """Return the ids of a model's classes, by their names at training and their present names.

    A class whose category no longer exists gets an id derived from its name, always the same.
    """
    current = registry.class_names_now(version)
    known = version.manifest.get("category_uuids") or [""] * len(version.class_names)
    by_name: dict[str, UUID] = {}
    # Where the manifest has no id, as for a class that was no category then, the name decides
    if not all(known):
        by_name = dict(
            Category.everywhere.filter(project=version.project_id).values_list("name", "uuid")
        )
    found: dict[str, UUID] = {}
    for trained, now, text in zip(version.class_names, current, known, strict=True):
        id_ = (
            UUID(text)
            if text
            else by_name.get(now) or uuid5(NAMESPACE_OID, f"{version.uuid}/{trained}")
        )
        found.setdefault(trained, id_)
        found[now] = id_
    return found


def scores(
    values: Iterable[tuple[str, float]], ids: Mapping[str, UUID], *, with_type: bool
) -> list[dict[str, Any]]:
    """Return the scores of a prediction, the most probable tag first."""
    answer = []
    for name, probability in sorted(values, key=lambda item: -item[1]):
        one: dict[str, Any] = {"probability": probability, "tagId": str(ids[name]), "tagName": name}
        if with_type:
            one["tagType"] = "Regular"
        answer.append(one)
    return answer


def stored_prediction(
    call: ApiRequest, one: Prediction, *, of: Workspace, iteration_id: UUID, ids: Mapping[str, UUID]
) -> dict[str, Any]:
    return {
        "id": str(one.uuid),
        "project": str(of.project.uuid),
        "iteration": str(iteration_id),
        "domain": str(of.domain),
        "created": format_moment(one.created_at),
        **picture_links.signed_urls(call.request, one.sample),
        "predictions": scores(
            ((name, value) for name, value in one.scores.items() if name in ids),
            ids,
            with_type=call.version >= (3, 3),
        ),
    }


def _minutes(run: TrainingRun | None) -> int:
    if run is None or run.started_at is None or run.finished_at is None:
        return 0
    return round((run.finished_at - run.started_at).total_seconds() / 60)

"""What the stand-in knows, as the JSON of Custom Vision."""

from datetime import datetime
from typing import Any

from customvision.client.tests.world import GENERAL, Image, Iteration, Project, Stored, Tag


def moment(value: datetime) -> str:
    return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"


def image_moment(value: datetime) -> str:
    """Return a time as images have it in recorded traffic: seven digits, no zone."""
    return f"{value:%Y-%m-%dT%H:%M:%S.%f}0"


def domain(id_: str, name: str) -> dict[str, Any]:
    facts = {
        "type": "Classification",
        "exportable": False,
        "enabled": True,
        "exportablePlatforms": [],
    }
    return {"id": id_, "name": name, **facts}


def project(one: Project) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "description": one.description,
        "settings": {
            "domainId": one.domain,
            "classificationType": one.classification,
            "targetExportPlatforms": [],
            "useNegativeSet": any(tag.type == "Negative" for tag in one.tags.values()),
        },
        "created": moment(one.created),
        "lastModified": moment(one.modified),
        "drModeEnabled": False,
        "status": "Succeeded",
    }


def tag(one: Tag, image_count: int) -> dict[str, Any]:
    facts = {"description": one.description, "type": one.type, "imageCount": image_count}
    return {"id": one.id, "name": one.name, **facts}


def image(
    one: Image, of: Project, links: dict[str, str], *, with_names: bool = True
) -> dict[str, Any]:
    """Return an image; without a tag it has no member `tags`. Uploads give no names of tags."""
    answer: dict[str, Any] = {
        "id": one.id,
        "created": image_moment(one.created),
        "width": one.size[0],
        "height": one.size[1],
        **links,
    }
    if one.tags:
        answer["tags"] = [
            {"tagId": id_, "created": image_moment(at)}
            | ({"tagName": of.tags[id_].name} if with_names else {})
            for id_, at in one.tags.items()
        ]
    return answer


def iteration(one: Iteration, of: Project) -> dict[str, Any]:
    is_done = one.status == "Completed"
    answer: dict[str, Any] = {
        "id": one.id,
        "name": one.name,
        "status": one.status,
        "created": moment(one.created),
        "lastModified": moment(one.modified),
        "projectId": of.id,
        "exportable": False,
        "exportableTo": [],
        "domainId": of.domain if is_done else None,
        "classificationType": of.classification if is_done else None,
        "trainingType": "Regular",
        "reservedBudgetInHours": 0,
        "trainingTimeInMinutes": 1 if is_done else 0,
    }
    if one.trained:
        answer["trainedAt"] = moment(one.trained)
    if one.publish_name:
        answer |= {"publishName": one.publish_name, "originalPublishResourceId": one.publish_target}
    if one.status == "Failed":
        answer["trainingErrorDetails"] = "The training failed: no capacity."
    return answer


def predictions(one: Iteration, data: bytes) -> list[dict[str, Any]]:
    return [
        {
            "probability": value,
            "tagId": id_,
            "tagName": one.model.names[id_],
            "tagType": one.model.types[id_],
        }
        for id_, value in one.model.probabilities(data)
    ]


def prediction(one: Stored, of: Project) -> dict[str, Any]:
    facts = {"project": of.id, "iteration": one.iteration, "created": moment(one.created)}
    return {"id": one.id, **facts, "predictions": one.predictions}


def stored_prediction(one: Stored, of: Project, links: dict[str, str]) -> dict[str, Any]:
    return prediction(one, of) | {"domain": of.domain or GENERAL} | links


def performance(one: Iteration, of: Project, threshold: float) -> dict[str, Any]:
    """Count the iteration's predictions of its training images that still exist."""
    tops = []
    for id_, tags in one.images.items():
        if id_ in of.images and (truth := next(iter(tags), None)) in one.model.colours:
            tops.append((truth, *one.model.probabilities(of.images[id_].data)[0]))
    figures = [_tag_performance(one, tag_id, tops, threshold) for tag_id in one.model.colours]
    whole = _figures(
        [(truth == said) for truth, said, value in tops if value >= threshold], len(tops)
    )
    return {"perTagPerformance": figures, **whole}


def _tag_performance(one: Iteration, tag_id: str, tops: list, threshold: float) -> dict[str, Any]:
    said = [truth == tag_id for truth, top, value in tops if top == tag_id and value >= threshold]
    figures = _figures(said, sum(truth == tag_id for truth, _top, _value in tops))
    return {"id": tag_id, "name": one.model.names[tag_id], **figures}


def _figures(right: list[bool], total: int) -> dict[str, float]:
    precision, recall = sum(right) / max(1, len(right)), sum(right) / max(1, total)
    deviations = {"precisionStdDeviation": 0.0, "recallStdDeviation": 0.0}
    return {
        "precision": precision,
        "recall": recall,
        "averagePrecision": (precision + recall) / 2,
        **deviations,
    }

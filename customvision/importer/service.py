"""What a Custom Vision resource has, read page by page and returned as plain dataclasses.

Every call is retried within `PATIENCE_SECONDS`, which outlasts a few `Retry-After` of the free
tier: reading twice does no harm.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.utils.translation import gettext as _

from common.errors import InvalidInput
from customvision.client.client import CustomVisionClient
from customvision.client.errors import RequestRejected
from customvision.client.rate_limits import OTHER_CALLS_PER_SECOND
from customvision.client.resource import Resource

PATIENCE_SECONDS = 120.0
PAGE = 64
MAX_IDS = 64  # in one URL, whose length is limited
THRESHOLD = 0.5  # for precision and recall


@dataclass(frozen=True)
class RemoteProject:
    id: UUID
    name: str
    description: str
    classification_type: str
    is_detection: bool


@dataclass(frozen=True)
class RemoteTag:
    id: UUID
    name: str
    description: str
    type: str
    image_count: int


@dataclass(frozen=True)
class RemotePicture:
    """Something with a picture behind a link that expires."""

    id: UUID
    link: str


@dataclass(frozen=True)
class RemoteImage(RemotePicture):
    tag_ids: tuple[UUID, ...]


@dataclass(frozen=True)
class RemoteIteration:
    id: UUID
    name: str
    status: str
    published_as: str
    trained_at: datetime | None


@dataclass(frozen=True)
class RemotePrediction(RemotePicture):
    iteration_id: UUID
    predicted_at: datetime | None
    scores: dict[str, float] = field(default_factory=dict)


class TrainingService:
    """One training resource.

    Raises:
        InvalidInput: if the endpoint is not one that a key may be sent to.

    Its methods raise the errors of `customvision.client.errors`.
    """

    def __init__(self, endpoint: str, key: str, *, patience_seconds: float | None = None) -> None:
        resource = Resource("training", endpoint, key)
        if not endpoint or not key:
            sentence = _("Give the endpoint of the training resource and its key.")
            raise InvalidInput(sentence)
        if resource.problem():
            sentence = _(
                "“%(endpoint)s” is not the address of a Custom Vision resource: such an "
                "address begins with https://."
            )
            raise InvalidInput(sentence % {"endpoint": endpoint})
        self.host = urlsplit(endpoint).hostname or ""
        # The tier of somebody else's resource is unknown
        self._client = CustomVisionClient(resource, per_second=min(OTHER_CALLS_PER_SECOND.values()))
        self._patience = PATIENCE_SECONDS if patience_seconds is None else patience_seconds

    def projects(self) -> list[RemoteProject]:
        detecting = {
            str(one.id) for one in self._ask("get_domains") if one.type == "ObjectDetection"
        }
        return [_project(one, detecting) for one in self._ask("get_projects")]

    def project(self, id_: UUID) -> RemoteProject:
        detecting = {
            str(one.id) for one in self._ask("get_domains") if one.type == "ObjectDetection"
        }
        return _project(self._ask("get_project", str(id_)), detecting)

    def tags(self, project: UUID) -> list[RemoteTag]:
        return [
            RemoteTag(
                UUID(one.id),
                one.name,
                one.description or "",
                one.type or "Regular",
                one.image_count or 0,
            )
            for one in self._ask("get_tags", str(project))
        ]

    def image_count(self, project: UUID) -> int:
        return self._ask("get_image_count", str(project))

    def images(self, project: UUID) -> Iterator[list[RemoteImage]]:
        """Yield pages of images, the oldest first, so that new ones come at the end."""
        skip = 0
        while rows := self._ask(
            "get_images", str(project), order_by="Oldest", take=PAGE, skip=skip
        ):
            yield [_image(one) for one in rows]
            skip += len(rows)

    def refresh_images(self, project: UUID, ids: list[UUID]) -> list[RemoteImage]:
        """Return those of these images that still exist, with fresh links."""
        found = []
        for start in range(0, len(ids), MAX_IDS):
            some = [str(one) for one in ids[start : start + MAX_IDS]]
            found += [
                _image(one) for one in self._ask("get_images_by_ids", str(project), image_ids=some)
            ]
        return found

    def iterations(self, project: UUID) -> list[RemoteIteration]:
        return [
            RemoteIteration(
                UUID(one.id),
                one.name or "",
                one.status or "",
                one.publish_name or "",
                _moment(one.trained_at),
            )
            for one in self._ask("get_iterations", str(project))
        ]

    def performance(self, project: UUID, iteration: UUID) -> dict[str, Any]:
        """Return the metrics of an iteration, overall and by tag id; {} if it was not measured."""
        try:
            found = self._ask(
                "get_iteration_performance", str(project), str(iteration), threshold=THRESHOLD
            )
        except RequestRejected:
            return {}
        per_tag = {
            str(one.id): {"name": one.name, **_figures(one)}
            for one in found.per_tag_performance or []
        }
        return {"threshold": THRESHOLD, "overall": _figures(found), "per_tag": per_tag}

    def predictions(self, project: UUID) -> Iterator[tuple[list[RemotePrediction], str]]:
        """Yield pages of stored predictions, the oldest first, each with the token of `page`."""
        continuation = ""
        while True:
            rows, following = self.page(project, continuation)
            if rows:
                yield rows, continuation
            if not following:
                return
            continuation = following

    def page(self, project: UUID, continuation: str) -> tuple[list[RemotePrediction], str]:
        """Return one page of stored predictions and the token of the next, "" after the last."""
        from azure.cognitiveservices.vision.customvision.training.models import PredictionQueryToken

        following = {"continuation": continuation} if continuation else {}
        token = PredictionQueryToken(order_by="Oldest", max_count=PAGE, **following)
        found = self._ask("query_predictions", str(project), token)
        return [_prediction(one) for one in found.results or []], found.token.continuation or ""

    def _ask(self, operation: str, *arguments: Any, **options: Any) -> Any:
        return self._client.call(operation, *arguments, within=self._patience, **options)


def _project(one: Any, detecting: set[str]) -> RemoteProject:
    kind = one.settings.classification_type or ""
    is_detection = str(one.settings.domain_id) in detecting
    return RemoteProject(UUID(one.id), one.name, one.description or "", kind, is_detection)


def _image(one: Any) -> RemoteImage:
    # Sorted, as they are compared with those of the last import, and the service has no order
    tag_ids = tuple(sorted(UUID(tag.tag_id) for tag in one.tags or []))
    return RemoteImage(UUID(one.id), one.original_image_uri or one.resized_image_uri or "", tag_ids)


def _prediction(one: Any) -> RemotePrediction:
    scores = {each.tag_name: float(each.probability) for each in one.predictions or []}
    link = one.original_image_uri or one.resized_image_uri or ""
    return RemotePrediction(UUID(one.id), link, UUID(one.iteration), _moment(one.created), scores)


def _figures(one: Any) -> dict[str, float | None]:
    return {
        "precision": one.precision,
        "recall": one.recall,
        "average_precision": one.average_precision,
    }


def _moment(value: datetime | None) -> datetime | None:
    """Return a time with its zone: the service's times are UTC, though some do not say so."""
    return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value

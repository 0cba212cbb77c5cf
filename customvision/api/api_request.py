"""One request as an operation sees it: its user, and its parameters by their specified names."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any
from urllib.parse import unquote_plus
from uuid import UUID

from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts.models import User
from common import json_bodies
from common.numbers import natural_number
from customvision.api import request_bodies
from customvision.api.errors import ApiError
from predictions.models import Project

Version = tuple[int, int]
MAX_BATCH_JSON_BYTES = 256 * 1024  # addresses, tags and names of a batch
_LENIENT_ADDRESS = re.compile(
    r"""\s*+(?:
        \{\s*+'url'\s*+:\s*+'(?P<quoted>[^'\\]++)'\s*+,?+\s*+\}
        | url=(?P<form>[^&\s]++)
        | (?P<bare>https?://\S++)
    )\s*+""",
    re.VERBOSE | re.IGNORECASE,
)


@dataclass
class ApiRequest:
    """A request to an operation. `path` has the parts of the path by their specified names."""

    request: HttpRequest
    version: Version
    user: User
    path: dict[str, str]
    # of the answer: the headers `apim-request-id` and `Request-Id`, and the id of a prediction
    id: UUID
    takes_any_type: bool = False  # a body is the picture, unless it is multipart

    # Names are matched in any case: SDKs of different languages write them differently
    @cached_property
    def _query(self) -> dict[str, list[str]]:
        return {name.lower(): values for name, values in self.request.GET.lists()}

    @cached_property
    def project(self) -> Project:
        """Return the project of pictures that the path names. Raises ApiError."""
        project = Project.objects.filter(
            uuid=self.uuid("projectId", "NotFoundProject"), modality=Project.Modality.IMAGE
        ).first()
        if project is None:
            raise ApiError("NotFoundProject", "Invalid project")
        return project

    def uuid(self, name: str, unknown: str) -> UUID:
        """Return an id of the path. A text that is no id gets the same error as an unknown id."""
        try:
            return UUID(self.path[name])
        except ValueError as error:
            raise ApiError(unknown, f"Invalid {name}") from error

    def text(self, name: str, default: str = "") -> str:
        text = (self._query.get(name.lower()) or [default])[0]
        # PostgreSQL cannot store a NUL, nor look for one
        if "\0" in text:
            raise ApiError("BadRequest", f"The parameter {name} holds characters that are no text.")
        return text

    def required(self, name: str) -> str:
        if not self.text(name):
            raise ApiError("BadRequestRequiredParamIsNull", f"The parameter {name} is required.")
        return self.text(name)

    def boolean(self, name: str, default: bool = False) -> bool:
        text = self.text(name).lower()
        if text not in ("", "true", "false"):
            raise ApiError("BadRequest", f"The parameter {name} must be true or false.")
        return text == "true" if text else default

    def integer(self, name: str, default: int, most: int) -> int:
        """Return a number from 0 to `most`."""
        number = natural_number(self.text(name) or str(default), most=most)
        if number is None:
            raise ApiError("BadRequest", f"The parameter {name} must be a number from 0 to {most}.")
        return number

    def fraction(self, name: str, default: float) -> float:
        try:
            number = float(self.text(name) or default)
        except ValueError:
            number = -1
        # "nan" is a float as well, and fails this comparison
        if not 0 <= number <= 1:
            raise ApiError("BadRequest", f"The parameter {name} must be a number from 0 to 1.")
        return number

    def uuids(self, name: str, most: int) -> list[UUID]:
        """Return a parameter's ids, separated by commas or given one by one."""
        texts = [
            text
            for value in self._query.get(name.lower(), [])
            for text in value.split(",")
            if text.strip()
        ]
        return parse_uuids(texts, name, most)

    def json(self, most_bytes: int = json_bodies.MAX_BYTES) -> dict[str, Any]:
        """Return the object of the body, empty if there was none, its names as they were sent."""
        data = request_bodies.read_body(self.request, most_bytes)
        return _object_of(data, lambda: json_bodies.loads(data, most_bytes=most_bytes))

    def picture_address(self) -> str:
        """Return the address in a body that should be `{"url": "..."}`, "" if there is none.

        The service takes more than that, and lessons and samples have it: single quotes, a form,
        the bare address.
        """
        data = request_bodies.read_body(self.request, json_bodies.MAX_BYTES)
        if found := _LENIENT_ADDRESS.fullmatch(data.decode("utf-8", "replace")):
            return found["quoted"] or unquote_plus(found["form"] or "") or found["bare"]
        body = _object_of(data, lambda: json_bodies.loads(data))
        address: str = get_member(body, "url", str, "")
        return address

    def json_with_pictures(self) -> dict[str, Any]:
        """Return the object of a body with a batch of pictures, each a `Base64` unless tiny."""
        data = request_bodies.read_body(self.request, request_bodies.MAX_BATCH_BYTES)
        load = partial(json_bodies.loads_with_pictures, most_pictures=request_bodies.MAX_PARTS)
        return _object_of(data, lambda: load(data, most_bytes=MAX_BATCH_JSON_BYTES))

    def images(
        self, most_bytes: int, *, most_parts: int = request_bodies.MAX_PARTS
    ) -> list[request_bodies.UploadedPart]:
        """Return the pictures of a multipart or binary body, at least one."""
        parts = request_bodies.image_parts(
            self.request, most_bytes, most_parts, any_type=self.takes_any_type
        )
        if not parts:
            raise ApiError("BadRequestImageStream", "The request has no imageData.")
        return parts


def _object_of(data: bytes, load: Callable[[], Any]) -> dict[str, Any]:
    if not data.strip():
        return {}
    try:
        value = load()
    except json_bodies.TooMuchJson as error:
        raise ApiError(
            "BadRequest", "The body holds more JSON than this operation takes."
        ) from error
    except json_bodies.NotJson as error:
        raise ApiError("BadRequest", "The body is not JSON.") from error
    if value is not None and not isinstance(value, dict):
        raise ApiError("BadRequest", "The body must be a JSON object.")
    dumped = json.dumps(value, ensure_ascii=False, default=lambda picture: "")
    # JSON can spell lone surrogates and NUL, which no database stores
    if "\\u0000" in dumped or dumped.encode(errors="replace").decode() != dumped:
        raise ApiError("BadRequest", "The body holds characters that are no text.")
    return value or {}


def get_member(body: dict[str, Any], name: str, kind: type | tuple[type, ...], default: Any) -> Any:
    """Return a member of a body, its name in any case; null counts as absent."""
    value = next((value for key, value in body.items() if key.lower() == name.lower()), None)
    if value is None:
        return default
    # In Python True is an int, but a client that sends true for a number is wrong
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise ApiError("BadRequest", f"The member {name} has the wrong type.")
    return value


def get_list(body: dict[str, Any], name: str, kind: type) -> list[Any]:
    """Return a member that is a list of values of one type."""
    values = get_member(body, name, list, [])
    if not all(isinstance(value, kind) for value in values):
        raise ApiError("BadRequest", f"The member {name} has an element of the wrong type.")
    return values


def parse_moment(body: dict[str, Any], name: str) -> datetime | None:
    text = get_member(body, name, str, "")
    if not text:
        return None
    try:
        found = parse_datetime(text)
        if found is not None:
            # A time without a zone is taken to be in the site's
            aware = (
                found
                if timezone.is_aware(found)
                else timezone.make_aware(found, timezone.get_default_timezone())
            )
            return aware.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ApiError("BadRequestPredictionInvalidQueryParameters", f"{name} is no time.")


def parse_uuids(texts: list[str], name: str, most: int) -> list[UUID]:
    if len(texts) > most:
        raise ApiError("BadRequestExceededBatchSize", f"{name} may have at most {most} elements.")
    try:
        # Once each, in the order of the request
        return list(dict.fromkeys(UUID(text.strip()) for text in texts))
    except ValueError as error:
        raise ApiError("BadRequestInvalidIds", f"{name} holds something that is no id.") from error

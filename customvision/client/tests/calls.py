"""One call to the stand-in, taken apart, and the table of operations that answer."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from customvision.client.tests.faults import Refusal
from customvision.client.tests.world import Iteration, Project, Tag

if TYPE_CHECKING:
    from customvision.client.tests.stand_in import StandIn

MOST_TAKEN, USUALLY_TAKEN = 256, 50
_PART = re.compile(rb"\r\n\r\n(.*)\r\n$", re.DOTALL)


@dataclass
class Call:
    service: "StandIn"
    ids: dict[str, str]
    query: dict[str, str]
    body: bytes
    content_type: str
    request_id: str
    pictures: list[bytes] = field(default_factory=list)  # those that it brought, for the record

    @property
    def project(self) -> Project:
        try:
            return self.service.projects[self.ids["project_id"].lower()]
        except KeyError:
            raise Refusal("NotFoundProject", "Invalid project", status=404) from None

    @property
    def iteration(self) -> Iteration:
        return self.iteration_with(self.ids["iteration_id"])

    def iteration_with(self, id_: str) -> Iteration:
        if id_ not in self.project.iterations:
            raise Refusal("NotFoundIteration", "Invalid iteration", status=404)
        return self.project.iterations[id_]

    @property
    def tag(self) -> Tag:
        if self.ids["tag_id"] not in self.project.tags:
            raise Refusal("NotFoundTag", "Invalid tag", status=404)
        return self.project.tags[self.ids["tag_id"]]

    @property
    def json(self) -> dict[str, Any]:
        try:
            return json.loads(self.body)
        except ValueError:
            raise Refusal("BadRequestRequiredParamIsNull", "The body is no JSON.") from None

    def listed(self, name: str) -> list[str]:
        return [one for one in self.query.get(name, "").split(",") if one]

    def is_true(self, name: str) -> bool:
        return self.query.get(name, "").lower() == "true"

    def page(self, rows: list) -> list:
        take, skip = int(self.query.get("take", USUALLY_TAKEN)), int(self.query.get("skip", 0))
        if take > MOST_TAKEN:
            raise Refusal(
                "BadRequestExceededBatchSize", f"At most {MOST_TAKEN} can be taken at once."
            )
        return rows[skip : skip + take]

    def picture(self) -> bytes:
        """Return the picture of a body in parts or of nothing but bytes."""
        (data,) = self.parts() or [b""]
        self.pictures.append(data)
        return data

    def parts(self) -> list[bytes]:
        if not self.content_type.startswith("multipart/form-data"):
            return [self.body]
        boundary = self.content_type.partition("boundary=")[2].strip('"').encode()
        found = [_PART.search(part) for part in self.body.split(b"--" + boundary)]
        return [match.group(1) for match in found if match]


Operation = Callable[[Call], Any]


@dataclass(frozen=True)
class Route:
    name: str  # the method of the SDK
    method: str
    area: str
    template: str  # as in the OpenAPI file
    pattern: re.Pattern[str]
    answer: Operation


ROUTES: list[Route] = []


def operation(method: str, area: str, template: str) -> Callable[[Operation], Operation]:
    """Register a function that returns JSON or (status, JSON), named like the SDK's method."""

    def register(function: Operation) -> Operation:
        groups = re.sub(r"\{(\w+)\}", lambda match: f"(?P<{_snake(match[1])}>[^/]+)", template)
        pattern = re.compile(f"{groups}$", re.IGNORECASE)
        ROUTES.append(Route(function.__name__, method, area, template, pattern, function))
        return function

    return register


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()

"""The table of operations, and finding the one for a method and a path."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from customvision.api.api_request import ApiRequest, Version

TRAINING_VERSIONS: dict[str, Version] = {
    "3.0": (3, 0),
    "3.1": (3, 1),
    "3.2": (3, 2),
    "3.3": (3, 3),
    "3.4-preview": (3, 4),
}
PREDICTION_VERSIONS: dict[str, Version] = {"3.0": (3, 0), "3.1": (3, 1)}
VERSIONS = {"training": TRAINING_VERSIONS, "prediction": PREDICTION_VERSIONS}


@dataclass(frozen=True)
class Reply:
    """A JSON answer; without a body there is none."""

    body: Any = None
    status: int = 200


NO_CONTENT = Reply(status=204)
Handler = Callable[[ApiRequest], Reply]


@dataclass(frozen=True)
class Operation:
    """One operation of the specification. `permission` is what its caller must have."""

    name: str
    area: str
    method: str
    template: str
    permission: str
    since: Version
    handler: Handler

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """Return the parts of the path by name, or None for another path. Ignores case."""
        own = self.template.split("/")
        if len(own) != len(segments):
            return None
        found = {}
        for wanted, given in zip(own, segments, strict=True):
            if wanted.startswith("{"):
                found[wanted[1:-1]] = given
            elif wanted.lower() != given.lower():
                return None
        return found


operations: list[Operation] = []


def register_operation(
    name: str,
    method: str,
    template: str,
    permission: str,
    *,
    area: str = "training",
    since: Version = (3, 0),
) -> Callable[[Handler], Handler]:
    """Register a function as what the specification calls `name`."""

    def register(handler: Handler) -> Handler:
        operations.append(Operation(name, area, method, template, permission, since, handler))
        return handler

    return register


def find_operation(
    area: str, version: Version, method: str, path: str
) -> tuple[Operation, dict[str, str]] | None:
    """Return the operation for a path, and the parts of the path, or None."""
    # SDKs join endpoint and path with a slash too many where the endpoint ends with one
    segments = [segment for segment in path.split("/") if segment]
    for one in operations:
        if (one.area, one.method) == (area, method) and one.since <= version:
            found = one.match(segments)
            if found is not None:
                return one, found
    return None

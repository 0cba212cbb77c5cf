"""Checks a response against the official OpenAPI file of its version."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings

SPECS = Path(settings.BASE_DIR).parent / "shared" / "customvision" / "specs"
FILES = {
    ("training", "3.0"): "Training/stable/v3.0/Training.json",
    ("training", "3.1"): "Training/stable/v3.1/Training.json",
    ("training", "3.2"): "Training/stable/v3.2/Training.json",
    ("training", "3.3"): "Training/stable/v3.3/Training.json",
    ("training", "3.4-preview"): "Training/preview/v3.4-preview/Training.json",
    ("prediction", "3.0"): "Prediction/stable/v3.0/Prediction.json",
    ("prediction", "3.1"): "Prediction/stable/v3.1/Prediction.json",
}
_TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# The times of images have no zone in the recorded traffic, whatever the file says
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}Z|\.\d{7})")


@cache
def specification(area: str, version: str) -> dict[str, Any]:
    return json.loads((SPECS / FILES[area, version]).read_text())


def operation_of(area: str, version: str, method: str, template: str) -> dict[str, Any]:
    return specification(area, version)["paths"][f"/{template}"][method.lower()]


def problems(
    area: str, version: str, method: str, template: str, status: int, body: Any
) -> list[str]:
    """Return what is wrong with the response of an operation; `body` is its JSON or None."""
    responses = operation_of(area, version, method, template)["responses"]
    if str(status) not in responses and status < 400:
        return [f"{status} is no answer of this operation"]
    schema = responses.get(str(status), responses["default"]).get("schema")
    if schema is None:
        return [] if body is None else ["a body, where none is foreseen"]
    if status in (401, 429) and set(body) == {"error"}:
        return []  # the gateway of Azure, which the files do not know; ours says both
    if status in (401, 404, 429) and "error" in body:
        body = {name: value for name, value in body.items() if name != "error"}  # the gateway's
    return list(_wrong(schema, body, specification(area, version)["definitions"], "body"))


def _wrong(schema: dict[str, Any], value: Any, definitions: dict[str, Any], place: str):
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]] | {
            k: v for k, v in schema.items() if k != "$ref"
        }
    if value is None:
        # The service itself sends this null
        if not schema.get("x-nullable") and not place.endswith(".publishName"):
            yield f"{place} is null"
        return
    kind = schema.get("type", "object")
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        yield f"{place} is {value!r}, not of type {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place} is {value!r}, which is not in the enumeration"
    if schema.get("format") == "uuid" and not _UUID.fullmatch(value):
        yield f"{place} is no id: {value!r}"
    if schema.get("format") == "date-time" and not _TIME.fullmatch(value):
        yield f"{place} is no time: {value!r}"
    if kind == "array":
        for place_in, one in enumerate(value):
            yield from _wrong(schema["items"], one, definitions, f"{place}[{place_in}]")
    if kind == "object":
        members = schema.get("properties", {})
        yield from (
            f"{place} has no {name}" for name in schema.get("required", []) if name not in value
        )
        for name, one in value.items():
            if name in members:
                yield from _wrong(members[name], one, definitions, f"{place}.{name}")
            elif "additionalProperties" not in schema:
                yield f"{place}.{name} is not in the specification"

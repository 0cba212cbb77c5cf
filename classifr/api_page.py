"""The page to try the API at, drawn from the API's own description.

Our own rather than Swagger UI: that one needs inline styles and cannot be used with a screen
reader.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator


@dataclass(frozen=True)
class Parameter:
    name: str
    place: str  # path or query
    required: bool
    description: str = ""
    choices: list[str] = field(default_factory=list)
    kind: str = "text"  # of the input


@dataclass(frozen=True)
class Operation:
    """One thing that the API does, as a form. `body` is "", "file" or "json"."""

    id: str
    method: str
    path: str
    description: str
    parameters: list[Parameter]
    body: str
    example: str


@require_safe
def api_console(request: HttpRequest) -> HttpResponse:
    """Show every operation with a form that sends it, with the session or a token."""
    description = SchemaGenerator().get_schema(public=True)
    operations = [
        _operation(path, method, found, description)
        for path, methods in description["paths"].items()
        for method, found in methods.items()
    ]
    return render(request, "api.html", {"operations": operations})


def _operation(
    path: str, method: str, found: dict[str, Any], description: dict[str, Any]
) -> Operation:
    types = found.get("requestBody", {}).get("content", {})
    # Where a picture may come in several ways, the form sends it as forms do.
    body = "file" if "multipart/form-data" in types else "json" if types else ""
    return Operation(
        id=found["operationId"],
        method=method.upper(),
        path=f"{settings.URL_PREFIX}{path}",
        description=found.get("description", ""),
        parameters=[_parameter(each) for each in found.get("parameters", [])],
        body=body,
        example=_example(types.get("application/json", {}).get("schema", {}), description),
    )


def _parameter(each: dict[str, Any]) -> Parameter:
    schema = each["schema"]
    # The format says more than the type: a date is a string, too.
    kinds = {"integer": "number", "date": "date"}
    return Parameter(
        name=each["name"],
        place=each["in"],
        required=each.get("required", False),
        description=each.get("description", ""),
        choices=schema.get("enum", []),
        kind=kinds.get(schema.get("format", ""), kinds.get(schema.get("type", ""), "text")),
    )


def _example(schema: dict[str, Any], description: dict[str, Any]) -> str:
    """Return a JSON body: the first choice of a field that has choices, empty texts and lists."""
    if "$ref" not in schema:
        return ""
    fields = _resolved(schema, description)["properties"]
    kinds = {name: _resolved(one, description) for name, one in fields.items()}
    example = {
        name: [] if kind.get("type") == "array" else str(next(iter(kind.get("enum", [])), ""))
        for name, kind in kinds.items()
    }
    return json.dumps(example, indent=2)


def _resolved(schema: dict[str, Any], description: dict[str, Any]) -> dict[str, Any]:
    """Return the schema itself where this is only a reference to it."""
    name = schema.get("$ref", "").rpartition("/")[2]
    return description["components"]["schemas"][name] if name else schema

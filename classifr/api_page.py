"""The page to try the API at, drawn from the API's own description.

Our own rather than Swagger UI: that one needs inline styles and cannot be used with a screen
reader.
"""

import json
from dataclasses import dataclass, field
from typing import Any

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
    return render(request, "api.html", {"operations": list(_operations(description))})


def _operations(description: dict[str, Any]) -> list[Operation]:
    return [
        Operation(
            id=operation["operationId"],
            method=method.upper(),
            path=path,
            description=operation.get("description", ""),
            parameters=[_parameter(each) for each in operation.get("parameters", [])],
            body=_body(operation),
            example=_example(operation, description),
        )
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]


def _parameter(each: dict[str, Any]) -> Parameter:
    schema = each["schema"]
    kinds = {"integer": "number", "date": "date"}
    return Parameter(
        name=each["name"],
        place=each["in"],
        required=each.get("required", False),
        description=each.get("description", ""),
        choices=schema.get("enum", []),
        kind=kinds.get(schema.get("format", ""), kinds.get(schema.get("type", ""), "text")),
    )


def _body(operation: dict[str, Any]) -> str:
    types = operation.get("requestBody", {}).get("content", {})
    return "file" if "multipart/form-data" in types else "json" if types else ""


def _example(operation: dict[str, Any], description: dict[str, Any]) -> str:
    """Return a JSON body with the first choice of each field that has choices, and empty texts."""
    schema = (
        operation.get("requestBody", {})
        .get("content", {})
        .get("application/json", {})
        .get("schema", {})
    )
    if "$ref" not in schema:
        return ""
    fields = description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
    return json.dumps(
        {name: _first_choice(one, description) for name, one in fields.items()}, indent=2
    )


def _first_choice(schema: dict[str, Any], description: dict[str, Any]) -> str:
    if "$ref" in schema:
        schema = description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return str(next(iter(schema.get("enum", [])), ""))

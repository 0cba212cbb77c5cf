"""Errors of a program, in every operation, have a form that the official OpenAPI files allow."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, transaction
from rest_framework.throttling import UserRateThrottle

from accounts.tests.factories import make_user
from common.errors import Conflict, QuotaReached, Unavailable
from customvision.api import dispatch, unsupported
from customvision.api.routing import VERSIONS, Operation, operations
from customvision.api.tests import schema
from customvision.api.tests.factories import BOUNDARY, Caller, make_caller, make_published
from predictions import uploads
from predictions.models import Sample
from predictions.tests.factories import make_picture_bytes

assert dispatch.OPERATION_MODULES, "registers the operations"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db,
    pytest.mark.skipif(
        not schema.SPECS.exists(), reason="the official files are not in ../shared/customvision"
    ),
]
NOBODY = "00000000-0000-0000-0000-000000000000"
UNKNOWN = {
    "projectId": "NotFoundProject",
    "iterationId": "NotFoundIteration",
    "publishedName": "NotFoundIteration",
    "tagId": "NotFoundTag",
    "domainId": "NotFoundDomain",
}
PARAMETERS = (
    "",
    "-1",
    "9" * 5000,
    "nan",
    "%00",
    "%ff",
    "%F0%9F%8D%95" * 200,
    "a,b,,",
    ",".join([NOBODY] * 300),
)
LAST_DAY = "9999-12-31T23:59:59-12:00"
VALUES: tuple[object, ...] = (
    None,
    10**400,
    1e999,
    "\0",
    "\ud800",
    "a" * 5000,
    LAST_DAY,
    [[]],
    {},
    [NOBODY] * 300,
)
BODIES = (b"", b"{", b"[]", b"null", b"\xff", b"[" * 50_000, b'{"\\u0000": 1}')
TYPES = (
    "text/plain",
    "multipart/form-data",
    f'multipart/form-data; boundary="{BOUNDARY}"',
    "application/xml",
    "",
)


class World:
    """A published project, and every operation with what it takes to ask it."""

    def __init__(self, version: str, caller: Caller | None = None) -> None:
        self.caller = caller or make_caller(version=version)
        self.number = VERSIONS["training"][version]
        self.wrong: list[str] = []
        self.ids = dict.fromkeys(
            ("projectId", "iterationId", "imageId", "publishedName", "tagId", "domainId"), NOBODY
        )

    def publish(self) -> "World":
        project, tags, iteration = make_published(self.caller)
        image = str(Sample.objects.filter(project=project).first().uuid)
        self.ids |= {
            "projectId": str(project.uuid),
            "iterationId": iteration,
            "publishedName": "live one",
        }
        self.ids |= {"tagId": tags["dark"], "imageId": image}
        return self

    @property
    def operations(self) -> list[Operation]:
        return [one for one in operations if one.since <= self.number]

    def __call__(self, one: Operation, query: str = "", body=b"", **options):
        """Ask, undo what it did, and note what is wrong with the answer."""
        ids = self.ids | options.pop("ids", {})
        path = one.template.format_map(ids) + (f"?{query}" if query else "")
        with undone():
            response = getattr(self.caller, one.area)(one.method, path, body, **options)
        found = response.json() if response.content else None
        version = (
            self.caller.version if one.area == "training" or self.caller.version == "3.0" else "3.1"
        )
        problems = schema.problems(
            one.area, version, one.method, one.template, response.status_code, found
        )
        told = f"{one.name} {version} ?{query[:60]} {body[:60]!r} {options}"
        self.wrong += [f"{told} {response.status_code}: {each}" for each in problems]
        return response

    def parameters(self, one: Operation, place: str) -> list[dict]:
        version = self.caller.version if one.area == "training" else "3.1"
        found = schema.operation_of(one.area, version, one.method, one.template).get(
            "parameters", []
        )
        return [parameter for parameter in found if parameter.get("in") == place]


@contextmanager
def undone() -> Iterator[None]:
    # No `atomic`, within which what people say could not be flushed
    before = transaction.savepoint()
    yield
    transaction.savepoint_rollback(before)


@pytest.fixture(params=VERSIONS["training"])
def world(request):
    return World(request.param)


@pytest.fixture
def newest():
    return World("3.4-preview").publish()


@pytest.mark.parametrize("key", ["", "wrong", "\xff"])
def test_a_key_that_is_none_is_refused_in_the_form_of_the_gateway(world, key):
    for one in world.operations:
        response = world(one, headers={"Training-Key": key, "Prediction-Key": key})
        assert (response.status_code, response.reason_phrase) == (401, "Access Denied"), one.name
        assert response.json()["error"]["code"] == "401"
    assert world.wrong == []


def test_a_role_that_may_not_is_told_so(world):
    user = make_user()
    user.groups.clear()
    world.caller = make_caller(user, version=world.caller.version)
    for one in world.operations:
        assert world(one).json()["code"] == "ForbiddenUserInsufficientCapability"
    assert world.wrong == []


def test_a_call_too_many_is_refused_in_the_form_of_the_gateway(world, monkeypatch):
    monkeypatch.setattr(UserRateThrottle, "allow_request", lambda *_args: False)
    monkeypatch.setattr(UserRateThrottle, "wait", lambda _throttle: 6.5)
    for one in (one for one in world.operations if one.area == "training"):
        response = world(one)
        assert (response.status_code, response["Retry-After"]) == (429, "7"), one.name
        assert response.json()["error"]["message"].endswith("Please retry after 7 seconds.")
    assert world.wrong == []


def test_a_picture_over_the_quota_is_refused_in_the_form_of_the_gateway(world, monkeypatch):
    def refuse(_user, **_cost):
        raise QuotaReached("No more today.", retry_after_seconds=60)

    world.publish()
    monkeypatch.setattr(uploads, "count_upload", refuse)
    asked = [one for one in world.operations if one.name.startswith(("Classify", "QuickTest"))]
    assert len(asked) == 6
    for one in asked:
        response = world(one, "", make_picture_bytes(), content_type="application/octet-stream")
        assert (response.status_code, response["Retry-After"]) == (429, "60"), one.name
    assert world.wrong == []


def test_what_is_not_there_is_not_found(world):
    world.publish()
    for one in world.operations:
        for place, code in UNKNOWN.items():
            if f"{{{place}}}" in one.template and one.name not in unsupported.NAMES:
                for unknown in (NOBODY, "no-id", "%00", "%ff", "a" * 3000):
                    response = world(one, "publishName=a&predictionId=b", ids={place: unknown})
                    assert (response.status_code, response.json()["code"]) == (404, code), (
                        one.name,
                        place,
                    )
    assert world.wrong == []


def test_what_is_not_implemented_says_so(world):
    world.publish()
    for one in world.operations:
        if one.name in unsupported.NAMES:
            assert "does not implement" in world(one).json()["message"]
    assert world.wrong == []


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Unavailable("Busy.", retry_after_seconds=3), 503, "ErrorPredictionServiceUnavailable"),
        (Conflict("Two at once."), 409, "Conflict"),
        (OperationalError("gone"), 503, "ErrorUnknown"),
        (RuntimeError("a bug"), 500, "ErrorUnknown"),
    ],
)
def test_what_goes_wrong_inside_is_told_in_the_form_of_the_service(
    world, monkeypatch, error, status, code
):
    def fail(*_args):
        raise error

    monkeypatch.setattr(dispatch, "find_operation", fail)
    for one in world.operations:
        response = world(one)
        assert (response.status_code, response.json()["code"]) == (status, code), one.name
        assert "bug" not in response.json()["message"] and "gone" not in response.json()["message"]
    assert world.wrong == []


def test_parameters_that_make_no_sense_break_nothing(newest):
    for one in newest.operations:
        required = "&".join(
            f"{each['name']}=1" for each in newest.parameters(one, "query") if each["required"]
        )
        for parameter in newest.parameters(one, "query"):
            for value in PARAMETERS:
                response = newest(one, f"{parameter['name']}={value}&{required}")
                assert response.status_code < 500, (one.name, parameter["name"], value[:20])
    assert newest.wrong == []


def test_bodies_that_make_no_sense_break_nothing(newest):
    for one in newest.operations:
        if one.method in ("GET", "DELETE"):
            continue
        required = "&".join(
            f"{each['name']}=a" for each in newest.parameters(one, "query") if each["required"]
        )
        for body, media_type in [(body, "application/json") for body in BODIES] + [
            (b"--x", each) for each in TYPES
        ]:
            response = newest(one, required, body, content_type=media_type)
            assert response.status_code < 500, (one.name, body[:20], media_type)
    assert newest.wrong == []


def test_members_that_make_no_sense_break_nothing(newest):
    """Each member of each body, and of elements of its lists, is replaced by each of `VALUES`."""
    tried = 0
    for one in newest.operations:
        for parameter in newest.parameters(one, "body"):
            definitions = schema.specification(
                one.area, "3.1" if one.area == "prediction" else "3.4-preview"
            )
            for body in bent(parameter["schema"], definitions["definitions"]):
                response = newest(
                    one, "", json.dumps(body).encode(), content_type="application/json"
                )
                assert response.status_code < 500, (one.name, str(body)[:200])
                tried += 1
    assert newest.wrong == [] and tried > 300


def bent(of: dict, definitions: dict) -> Iterator[dict]:
    """Yield bodies in which one member has a value that it should not have."""
    members = (
        definitions[of["$ref"].rpartition("/")[2]].get("properties", {}) if "$ref" in of else {}
    )
    for name, member in members.items():
        yield from ({name: value} for value in VALUES)
        if member.get("type") == "array":
            yield from ({name: [inner]} for inner in bent(member["items"], definitions))
        elif "$ref" in member:
            yield from ({name: inner} for inner in bent(member, definitions))


def test_a_picture_that_is_too_large_is_refused_before_it_is_read(newest):
    too_much = bytes(6 * 1024 * 1024 + 1)
    for one in newest.operations:
        if one.name in (
            "ClassifyImage",
            "ClassifyImageWithNoStore",
            "QuickTestImage",
            "CreateImagesFromData",
        ):
            response = newest(one, "", too_much, content_type="application/octet-stream")
            assert response.json()["code"] == "BadRequestImageSizeBytes", one.name
    assert newest.wrong == []


def test_a_method_or_an_address_that_no_operation_has_is_refused_in_the_form_of_the_gateway(newest):
    for method, path in (("PUT", "projects"), ("GET", "nothing"), ("POST", "projects/a/b/c/d/e")):
        response = newest.caller.training(method, path)
        assert response.status_code == 404 and response.json() == {
            "error": {"code": "404", "message": "Resource not found"},
            "code": "NotFound",
            "message": "Resource not found",
        }

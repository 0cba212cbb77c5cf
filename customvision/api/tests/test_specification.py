"""All responses of all operations and versions are allowed by the official OpenAPI files."""

import base64

import pytest
from django.http import HttpResponse

from common import jobs
from customvision import domains
from customvision.api import dispatch
from customvision.api.routing import VERSIONS, operations
from customvision.api.tests import schema
from customvision.api.tests.factories import Caller, make_caller, make_published
from predictions import registry
from predictions.models import ModelVersion, Project
from predictions.tests.factories import make_picture_bytes
from training import exports
from training.pool import proposals

NOBODY = "00000000-0000-0000-0000-000000000000"
assert dispatch.OPERATION_MODULES, "registers the operations"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db,
    pytest.mark.skipif(
        not schema.SPECS.exists(), reason="the official files are not in ../shared/customvision"
    ),
]


class Checked:
    """Calls operations by name, and collects faulty responses, successes and errors."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.wrong: list[str] = []
        self.done: set[str] = set()
        self.refused: set[str] = set()

    def __call__(
        self, name: str, ids: dict[str, str], query: str = "", body=None, expect=None, **options
    ):
        area = next(one.area for one in operations if one.name == name)
        version = (
            self.caller.version if area == "training" or self.caller.version == "3.0" else "3.1"
        )
        one = next(one for one in operations if one.name == name)
        path = one.template.format_map(ids) + (f"?{query}" if query else "")
        response = getattr(self.caller, area)(one.method, path, body, **options)
        self.check(one, version, response)
        (self.done if response.status_code < 300 else self.refused).add(name)
        if expect is not None:
            assert response.status_code == expect, (name, response.content)
        return response.json() if response.content else None

    def check(self, one, version: str, response: HttpResponse) -> None:
        body = response.json() if response.content else None
        found = schema.problems(
            one.area, version, one.method, one.template, response.status_code, body
        )
        self.wrong += [f"{one.name} {version} {response.status_code}: {each}" for each in found]
        assert response["apim-request-id"] == response["Request-Id"]
        assert response["X-Content-Type-Options"] == "nosniff"
        if body is None:
            assert "Content-Type" not in response
        else:
            assert response["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("version", VERSIONS["training"])
def test_every_answer_is_one_of_the_specification(version, settings, monkeypatch):
    from common import fetching

    settings.DEFAULT_TRAINER = "dummy"
    monkeypatch.setattr(exports, "build_archive", lambda model, labels, of: b"PK")
    monkeypatch.setattr(
        fetching, "fetch_url", lambda url, most_bytes: make_picture_bytes((30, 30, 30))
    )
    # Every untagged image is suggested, and no backbone is needed for it
    monkeypatch.setattr(proposals, "split_of", lambda sha256: "test")
    caller = make_caller(version=version)
    project, tags, iteration = make_published(caller, pictures=8)
    registry.promote_version(project.model_versions.get(), by=None)
    call = Checked(caller)
    ids = {"projectId": str(project.uuid), "iterationId": iteration, "publishedName": "live one"}
    ids |= {"tagId": tags["dark"], "domainId": str(domains.GENERAL)}
    go_through_everything(
        call, ids, tags, batch_status=200 if version in ("3.0", "3.1", "3.2") else 207
    )
    assert call.wrong == []
    number = VERSIONS["training"][version]
    from customvision.api import unsupported

    wanted = {one.name for one in operations if one.since <= number} - unsupported.NAMES
    assert wanted - call.done == set(), "not tried"


def go_through_everything(
    call: Checked, ids: dict[str, str], tags: dict[str, str], batch_status: int
) -> None:
    """Call every operation that is implemented, each well and most of them badly as well."""
    is_new = call.caller.version in ("3.3", "3.4-preview")
    for name in ("GetDomains", "GetDomain", "GetProjects", "GetProject", "GetTags", "GetTag"):
        call(name, ids, expect=200)
    made = call(
        "CreateProject", ids, "name=Other&description=d&classificationType=Multiclass", expect=200
    )
    call("CreateProject", ids, "name=Other", expect=400)
    call("CreateProject", ids, "name=Unknown&classificationType=Both", expect=400)
    several = call("CreateProject", ids, "name=Several", expect=200)
    go_through_several_tags(call, ids | {"projectId": several["id"]})
    other = ids | {"projectId": made["id"]}
    settings = {"domainId": ids["domainId"]}
    call(
        "UpdateProject",
        other,
        body={"name": "Renamed", "description": "x", "settings": settings},
        expect=200,
    )
    tag = call("CreateTag", other, "name=a&description=b", expect=200)
    call("CreateTag", other, "name=a", expect=400)
    call("CreateTag", other, "name=n&type=Negative", expect=400)
    call(
        "UpdateTag",
        other | {"tagId": tag["id"]},
        body={"name": "b", "description": None},
        expect=200,
    )
    call("DeleteTag", other | {"tagId": tag["id"]}, expect=204)
    call("GetTag", other | {"tagId": tag["id"]}, expect=404)
    # Images
    data = make_picture_bytes()
    summary = call("CreateImagesFromData", ids, f"tagIds={tags['dark']}", data, expect=200)
    image = summary["images"][0]["image"]
    call("CreateImagesFromData", ids, "", data, expect=batch_status)
    call("CreateImagesFromData", ids, "", b"no picture", expect=batch_status)
    call("CreateImagesFromData", ids, f"tagIds={NOBODY}", make_picture_bytes(), expect=batch_status)
    contents = base64.b64encode(make_picture_bytes()).decode()
    entries = [{"name": "a.jpg", "contents": contents}, {"name": "b.jpg", "contents": "***"}]
    untagged = call("CreateImagesFromFiles", ids, body={"images": entries}, expect=batch_status)[
        "images"
    ][0]["image"]
    assert "tags" not in untagged
    entry = {"url": "https://example.com/a.jpg", "tagIds": [tags["light"]]}
    call("CreateImagesFromUrls", ids, body={"images": [entry]}, expect=200)
    call("CreateImagesFromUrls", ids, body={}, expect=400)
    for name in (
        "GetTaggedImages",
        "GetUntaggedImages",
        "GetTaggedImageCount",
        "GetUntaggedImageCount",
    ):
        assert call(name, ids, "orderBy=Oldest&take=3", expect=200)
        call(name, ids, f"iterationId={ids['iterationId']}", expect=200)
    call("GetTaggedImages", ids, "take=1000", expect=400)
    if is_new:
        assert call("GetImageCount", ids, "taggingStatus=Untagged", expect=200) == 1
        call("GetImages", ids, f"tagIds={tags['dark']}&skip=1", expect=200)
    proposals.request_ranking(Project.objects.get(uuid=ids["projectId"]))
    jobs.run_due_jobs("training")
    of = f"iterationId={ids['iterationId']}"
    if call.caller.version != "3.0":
        suggested = call("QuerySuggestedImages", ids, of, {"maxCount": 5}, expect=200)
        assert [each["id"] for each in suggested["results"]] == [untagged["id"]]
        call("QuerySuggestedImages", ids, of, {"maxCount": 1000}, expect=400)
        assert call("QuerySuggestedImageCount", ids, of, {"threshold": 0.1}, expect=200)
    assert (
        call("GetImagesByIds", ids, f"imageIds={image['id']}", expect=200)[0]["id"] == image["id"]
    )
    pairs = [
        {"imageId": image["id"], "tagId": tags["light"]},
        {"imageId": image["id"], "tagId": tags["dark"]},
    ]
    assert len(call("CreateImageTags", ids, body={"tags": pairs}, expect=200)["exceeded"]) == 1
    call(
        "CreateImageTags",
        ids,
        body={"tags": [{"imageId": NOBODY, "tagId": tags["dark"]}]},
        expect=404,
    )
    call("DeleteImageTags", ids, f"imageIds={image['id']}&tagIds={tags['light']}", expect=204)
    # Predictions
    answer = call("ClassifyImage", ids, "application=phone", make_picture_bytes(), expect=200)
    for name in ("ClassifyImageWithNoStore", "QuickTestImage"):
        call(name, ids, "", make_picture_bytes(), expect=200)
        call(name, ids, "", b"no picture", expect=400)
    for name in ("ClassifyImageUrl", "ClassifyImageUrlWithNoStore", "QuickTestImageUrl"):
        call(name, ids, "", {"Url": "https://example.com/a.jpg"}, expect=200)
    call("ClassifyImage", ids | {"publishedName": "no name"}, "", data, expect=404)
    limits = [{"id": tags["dark"], "minThreshold": 0.0, "maxThreshold": 1.0}]
    token = {
        "maxCount": 1,
        "tags": limits,
        "startTime": "2020-01-01T00:00:00.000Z",
        "orderBy": "Oldest",
    }
    page = call("QueryPredictions", ids, body=token, expect=200)
    assert page["results"][0]["id"] == answer["id"] and page["token"]["continuation"]
    assert (
        call("QueryPredictions", ids, body=page["token"], expect=200)["results"][0]["id"]
        != answer["id"]
    )
    call("QueryPredictions", ids, body={"maxCount": 10_000}, expect=400)
    call("CreateImagesFromPredictions", ids, body={"images": [{"id": answer["id"]}]}, expect=200)
    call("CreateImagesFromPredictions", ids, body={"images": [{"id": NOBODY}]}, expect=batch_status)
    call("DeletePrediction", ids, f"ids={answer['id']}", expect=204)
    call("DeletePrediction", ids, expect=400)
    # Iterations
    for name in ("GetIterations", "GetIteration", "GetExports", "GetIterationPerformance"):
        call(name, ids, expect=200)
    call("ExportIteration", ids, "platform=ONNX", expect=400)  # the dummy's models are no files
    ModelVersion.objects.update(predictor="keras")
    for query in ("platform=TensorFlow&flavor=TensorFlowLite", "platform=ONNX"):
        assert call("ExportIteration", ids, query, expect=200)["status"] == "Exporting"
    call("ExportIteration", ids, "platform=ONNX", expect=400)
    call("ExportIteration", ids, "platform=CoreML", expect=400)
    call("ExportIteration", ids, "platform=Paper", expect=400)
    jobs.run_due_jobs("training")
    assert {one["status"] for one in call("GetExports", ids, expect=200)} == {"Done"}
    call("GetIteration", ids, expect=200)
    ModelVersion.objects.update(predictor="dummy")
    running = call("TrainProject", ids, expect=200)
    call("TrainProject", ids, expect=400)
    call("GetIteration", ids | {"iterationId": running["id"]}, expect=200)
    call(
        "PublishIteration",
        ids | {"iterationId": running["id"]},
        "publishName=b&predictionId=x",
        expect=400,
    )
    jobs.run_due_jobs("training")
    newest, *_older = call("GetIterations", ids, expect=200)
    assert newest["id"] == running["id"] and newest["publishName"] is None
    call("TrainProject", ids, expect=400)
    call("UpdateIteration", ids, body={"name": "The first"}, expect=200)
    second = ids | {"iterationId": running["id"]}
    call("PublishIteration", second, "publishName=live one&predictionId=x", expect=400)
    call("PublishIteration", second, "publishName=another&predictionId=x", expect=200)
    call("DeleteIteration", second, expect=400)
    call("UnpublishIteration", second, expect=204)
    call("UnpublishIteration", second, expect=400)
    call("DeleteIteration", second, expect=204)
    call("GetIteration", second, expect=404)
    # Deleting
    call("DeleteImages", ids, f"imageIds={image['id']}", expect=204)
    call("DeleteImages", ids, expect=400)
    if call.caller.version != "3.0":
        call("DeleteImages", ids, "allImages=true", expect=202)
        jobs.run_due_jobs()
        assert call("GetTaggedImageCount", ids) == 0
    call("DeleteProject", ids, expect=400)
    call("DeleteProject", other, expect=204)
    call("GetProject", other, expect=404)


def go_through_several_tags(call: Checked, ids: dict[str, str]) -> None:
    """Tag an image twice in a Multilabel project, and take one tag away."""
    first, second = (call("CreateTag", ids, f"name={name}", expect=200)["id"] for name in "ab")
    summary = call(
        "CreateImagesFromData", ids, f"tagIds={first},{second}", make_picture_bytes(), expect=200
    )
    image = summary["images"][0]["image"]
    assert {one["tagId"] for one in image["tags"]} == {first, second}
    settings = {"domainId": ids["domainId"], "classificationType": "Multiclass"}
    call("UpdateProject", ids, body={"settings": settings}, expect=400)
    call("DeleteImageTags", ids, f"imageIds={image['id']}&tagIds={first}", expect=204)
    assert [one["tagId"] for one in call("GetTaggedImages", ids, expect=200)[0]["tags"]] == [second]


@pytest.mark.parametrize("area", VERSIONS)
def test_every_operation_of_the_files_is_known(area):
    for version, number in VERSIONS[area].items():
        ours = {
            (one.method, f"/{one.template}")
            for one in operations
            if one.area == area and one.since <= number
        }
        theirs = {
            (method.upper(), path)
            for path, methods in schema.specification(area, version)["paths"].items()
            for method in methods
        }
        assert ours == theirs
    if area == "training":
        assert len(operations) == 60


def test_unknown_projects_are_not_found():
    call = Checked(make_caller())
    ids = dict.fromkeys(("projectId", "iterationId", "imageId", "publishedName", "tagId"), NOBODY)
    assert not Project.objects.exists()
    for one in operations:
        if (
            one.method == "GET"
            and "{projectId}" in one.template
            and one.name not in ("GetArtifact", "ExportProject")
        ):
            call(one.name, ids)
    assert call.wrong == [] and call.done == set()

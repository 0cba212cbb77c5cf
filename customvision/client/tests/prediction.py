"""The prediction area, and the quick test: what is in this picture?"""

from typing import Any

from customvision.client.tests import answers
from customvision.client.tests.calls import Call, operation
from customvision.client.tests.faults import Refusal
from customvision.client.tests.world import Iteration, Stored, has_allowed_sides, seen

MOST_BYTES = 4_000_000


def _published(call: Call) -> Iteration:
    for one in call.project.iterations.values():
        if one.publish_name == call.ids["published_name"]:
            return one
    raise Refusal("NotFoundIteration", "Invalid iteration", status=404)


def _answer(call: Call, iteration: Iteration, data: bytes, *, store: bool) -> dict[str, Any]:
    if len(data) > MOST_BYTES:
        raise Refusal("BadRequestImageSizeBytes", "The image is larger than 4 MB.")
    found = seen(data)
    if found is None:
        raise Refusal(
            "BadRequestImageFormat",
            f"Bad Request Image Format, Uri: {call.request_id.replace('-', '')}",
        )
    if not has_allowed_sides(found[0]):
        raise Refusal("BadRequestImageDimensions", "The image is too long or too narrow.")
    said = answers.predictions(iteration, data)
    stored = Stored(data, iteration.id, call.query.get("application", ""), said, call.request_id)
    if store:
        call.project.predictions[stored.id] = stored
    return answers.prediction(stored, call.project)


def _of_url(call: Call) -> bytes:
    url = call.json.get("url") or call.json.get("Url")
    if url not in call.service.web:
        raise Refusal("BadRequestImageUrl", "The image cannot be fetched.")
    return call.service.web[url]


@operation("POST", "prediction", "{projectId}/classify/iterations/{publishedName}/image")
def classify_image(call: Call) -> Any:
    return _answer(call, _published(call), call.picture(), store=True)


@operation("POST", "prediction", "{projectId}/classify/iterations/{publishedName}/image/nostore")
def classify_image_with_no_store(call: Call) -> Any:
    return _answer(call, _published(call), call.picture(), store=False)


@operation("POST", "prediction", "{projectId}/classify/iterations/{publishedName}/url")
def classify_image_url(call: Call) -> Any:
    return _answer(call, _published(call), _of_url(call), store=True)


@operation("POST", "prediction", "{projectId}/classify/iterations/{publishedName}/url/nostore")
def classify_image_url_with_no_store(call: Call) -> Any:
    return _answer(call, _published(call), _of_url(call), store=False)


def _iteration(call: Call) -> Iteration:
    if call.query.get("iterationId"):
        return call.iteration_with(call.query["iterationId"])
    trained = [one for one in call.project.iterations.values() if one.status == "Completed"]
    if not trained:
        raise Refusal(
            "NotFoundProjectDefaultIteration", "The project has no iteration.", status=404
        )
    return trained[-1]


@operation("POST", "training", "projects/{projectId}/quicktest/image")
def quick_test_image(call: Call) -> Any:
    return _answer(
        call,
        _iteration(call),
        call.picture(),
        store=call.query.get("store", "true").lower() == "true",
    )


@operation("POST", "training", "projects/{projectId}/quicktest/url")
def quick_test_image_url(call: Call) -> Any:
    return _answer(
        call,
        _iteration(call),
        _of_url(call),
        store=call.query.get("store", "true").lower() == "true",
    )

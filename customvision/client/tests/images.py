"""Images of the Training API: uploads, lists, tags, and pictures of stored predictions."""

import base64
from typing import Any

from customvision.client.tests import answers
from customvision.client.tests.calls import Call, operation
from customvision.client.tests.faults import Refusal
from customvision.client.tests.world import Image, Stored

MOST_IN_BATCH, MOST_BYTES = 64, 6_000_000


def links(call: Call, id_: str) -> dict[str, str]:
    """Return where the picture can be had for a while, without a key."""
    sizes = {
        "resizedImageUri": "resized",
        "thumbnailUri": "thumbnail",
        "originalImageUri": "original",
    }
    return {member: call.service.link(f"{size}/{id_}") for member, size in sizes.items()}


def _image(call: Call, one: Image, *, with_names: bool = True) -> dict[str, Any]:
    return answers.image(one, call.project, links(call, one.id), with_names=with_names)


def _result(call: Call, name: str, data: bytes, tag_ids: list[str]) -> dict[str, Any]:
    if len(data) > MOST_BYTES:
        return {"sourceUrl": name, "status": "ErrorImageSize"}
    if len(call.project.images) >= call.service.most_images:
        return {"sourceUrl": name, "status": "ErrorLimitExceed"}
    status, image = call.project.put(data, tag_ids)
    result: dict[str, Any] = {"sourceUrl": name, "status": status}
    return result | ({"image": _image(call, image, with_names=False)} if image else {})


def _summary(results: list[dict[str, Any]]) -> tuple[int, Any]:
    is_whole = all(one["status"] == "OK" for one in results)
    return 200 if is_whole else 207, {"isBatchSuccessful": is_whole, "images": results}


def _batch(call: Call) -> list[dict[str, Any]]:
    entries = call.json.get("images") or []
    if not entries:
        raise Refusal("BadRequestImageBatch", "The batch is empty.")
    if len(entries) > MOST_IN_BATCH:
        raise Refusal("BadRequestExceededBatchSize", f"A batch has at most {MOST_IN_BATCH} images.")
    return entries


@operation("POST", "training", "projects/{projectId}/images")
def create_images_from_data(call: Call) -> Any:
    return _summary([_result(call, "", call.picture(), call.listed("tagIds"))])


@operation("POST", "training", "projects/{projectId}/images/files")
def create_images_from_files(call: Call) -> Any:
    shared, results = call.json.get("tagIds") or [], []
    entries = [(one, base64.b64decode(one.get("contents", ""))) for one in _batch(call)]
    if sum(len(data) for _one, data in entries) > MOST_BYTES:
        raise Refusal("BadRequestExceededBatchSize", "A batch has at most 6 MB.", status=413)
    for one, data in entries:
        call.pictures.append(data)
        results.append(
            _result(call, one.get("name", ""), data, [*shared, *(one.get("tagIds") or [])])
        )
    return _summary(results)


@operation("POST", "training", "projects/{projectId}/images/urls")
def create_images_from_urls(call: Call) -> Any:
    results = []
    for one in _batch(call):
        data = call.service.web.get(one["url"])
        if data is None:
            results.append({"sourceUrl": one["url"], "status": "ErrorSource"})
        else:
            results.append(_result(call, one["url"], data, one.get("tagIds") or []))
    return _summary(results)


@operation("POST", "training", "projects/{projectId}/images/predictions")
def create_images_from_predictions(call: Call) -> Any:
    results = []
    for one in _batch(call):
        stored = call.project.predictions.get(one["id"])
        if stored is None:
            results.append({"sourceUrl": one["id"], "status": "ErrorSource"})
        else:
            results.append(_result(call, one["id"], stored.data, one.get("tagIds") or []))
    return _summary(results)


@operation("DELETE", "training", "projects/{projectId}/images")
def delete_images(call: Call) -> Any:
    if call.is_true("allImages"):
        call.project.images.clear()
        return 202, None
    ids = call.listed("imageIds")
    if not ids or len(ids) > 256:
        raise Refusal("BadRequestInvalidIds", "Between 1 and 256 image ids are needed.")
    for id_ in ids:
        call.project.images.pop(id_, None)
    return 204, None


def _found(call: Call, *, tagged: bool | None) -> list[Image]:
    wanted = call.listed("tagIds")
    rows = [
        image
        for image in call.project.images.values()
        if tagged in (None, bool(image.tags)) and (not wanted or set(wanted) & set(image.tags))
    ]
    if call.query.get("iterationId"):
        known = call.iteration_with(call.query["iterationId"]).images
        rows = [image for image in rows if image.id in known]
    rows.sort(
        key=lambda image: (image.created, image.id),
        reverse=call.query.get("orderBy", "Newest") == "Newest",
    )
    return rows


def _status(call: Call) -> bool | None:
    return {"Tagged": True, "Untagged": False}.get(call.query.get("taggingStatus", ""))


@operation("GET", "training", "projects/{projectId}/images")
def get_images(call: Call) -> Any:
    return [_image(call, one) for one in call.page(_found(call, tagged=_status(call)))]


@operation("GET", "training", "projects/{projectId}/images/count")
def get_image_count(call: Call) -> Any:
    return len(_found(call, tagged=_status(call)))


@operation("GET", "training", "projects/{projectId}/images/id")
def get_images_by_ids(call: Call) -> Any:
    images = [
        call.project.images[id_] for id_ in call.listed("imageIds") if id_ in call.project.images
    ]
    return [_image(call, one) for one in images]


@operation("GET", "training", "projects/{projectId}/images/tagged")
def get_tagged_images(call: Call) -> Any:
    return [_image(call, one) for one in call.page(_found(call, tagged=True))]


@operation("GET", "training", "projects/{projectId}/images/tagged/count")
def get_tagged_image_count(call: Call) -> Any:
    return len(_found(call, tagged=True))


@operation("GET", "training", "projects/{projectId}/images/untagged")
def get_untagged_images(call: Call) -> Any:
    return [_image(call, one) for one in call.page(_found(call, tagged=False))]


@operation("GET", "training", "projects/{projectId}/images/untagged/count")
def get_untagged_image_count(call: Call) -> Any:
    return len(_found(call, tagged=False))


@operation("POST", "training", "projects/{projectId}/images/tags")
def create_image_tags(call: Call) -> Any:
    answer: dict[str, list] = {"created": [], "duplicated": [], "exceeded": []}
    for pair in call.json.get("tags") or []:
        image, tag_id = call.project.images.get(pair["imageId"]), pair["tagId"]
        if image is None or tag_id not in call.project.tags:
            raise Refusal(
                "NotFoundImage" if image is None else "NotFoundTag",
                "There is no such thing.",
                status=404,
            )
        known = tag_id in image.tags
        exceeded = call.project.put_tags(image, [tag_id])
        answer["duplicated" if known else "exceeded" if exceeded else "created"].append(pair)
    return answer


@operation("DELETE", "training", "projects/{projectId}/images/tags")
def delete_image_tags(call: Call) -> Any:
    for image_id in call.listed("imageIds"):
        for tag_id in call.listed("tagIds"):
            if image_id in call.project.images:
                call.project.images[image_id].tags.pop(tag_id, None)
    return 204, None


@operation("POST", "training", "projects/{projectId}/predictions/query")
def query_predictions(call: Call) -> Any:
    token = call.json
    rows = [one for one in call.project.predictions.values() if _is_wanted(one, token)]
    rows.sort(
        key=lambda one: (one.created, one.id), reverse=token.get("orderBy", "Newest") != "Oldest"
    )
    start, most = int(token.get("continuation") or 0), token.get("maxCount") or 100
    following = {"continuation": str(start + most)} if start + most < len(rows) else {}
    kept = {
        name: value
        for name, value in token.items()
        if name not in ("continuation", "session") and value
    }
    results = [
        answers.stored_prediction(one, call.project, links(call, one.id))
        for one in rows[start : start + most]
    ]
    return {"token": kept | {"session": call.project.id} | following, "results": results}


def _is_wanted(one: Stored, token: dict[str, Any]) -> bool:
    if token.get("iterationId") not in (None, one.iteration):
        return False
    if token.get("application") and token["application"] != one.application:
        return False
    created = answers.moment(one.created)
    if (
        not (token.get("startTime") or "")[:23]
        <= created[:23]
        <= (token.get("endTime") or "9")[:23]
    ):
        return False
    values = {each["tagId"]: each["probability"] for each in one.predictions}
    return all(
        limit.get("minThreshold", 0) <= values.get(limit["id"], -1) <= limit.get("maxThreshold", 1)
        for limit in token.get("tags") or []
    )


@operation("DELETE", "training", "projects/{projectId}/predictions")
def delete_prediction(call: Call) -> Any:
    for id_ in call.listed("ids"):
        call.project.predictions.pop(id_, None)
    return 204, None

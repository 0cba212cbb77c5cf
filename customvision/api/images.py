"""Images: added from data, files, addresses and predictions; listed, tagged and deleted."""

from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from accounts import roles
from common.json_bodies import Base64
from common.transactions import durable_transaction
from customvision.api import (
    image_deletion,
    image_queries,
    image_upload,
    iterations,
    tags,
)
from customvision.api.api_request import (
    MAX_BATCH_JSON_BYTES,
    ApiRequest,
    get_list,
    get_member,
    parse_uuids,
)
from customvision.api.errors import ApiError, not_implemented
from customvision.api.image_upload import MAX_TAGS, UploadEntry, store_from
from customvision.api.routing import NO_CONTENT, Reply, register_operation
from predictions.models import Category, Sample
from training.lifecycle import category_removal

IMAGES = "projects/{projectId}/images"
MAX_IDS = 256
MAX_BATCH = 64


@register_operation("CreateImagesFromData", "POST", IMAGES, roles.REVIEW)
def create_from_data(call: ApiRequest) -> Reply:
    tag_ids = call.uuids("tagIds", MAX_TAGS)
    parts = call.images(image_upload.MAX_BYTES)
    return image_upload.add_images(
        call,
        [
            UploadEntry(part.file_name, store_from(call, partial(getattr, part, "data")), tag_ids)
            for part in parts
        ],
    )


@register_operation("CreateImagesFromFiles", "POST", f"{IMAGES}/files", roles.REVIEW)
def create_from_files(call: ApiRequest) -> Reply:
    entries = []
    for item, tag_ids in image_upload.parse_batch(call.json_with_pictures()):
        take = store_from(
            call,
            partial(image_upload.picture_bytes, get_member(item, "contents", (str, Base64), "")),
        )
        entries.append(UploadEntry(get_member(item, "name", str, ""), take, tag_ids))
    return image_upload.add_images(call, entries)


@register_operation("CreateImagesFromUrls", "POST", f"{IMAGES}/urls", roles.REVIEW)
def create_from_urls(call: ApiRequest) -> Reply:
    entries = []
    for item, tag_ids in image_upload.parse_batch(call.json(MAX_BATCH_JSON_BYTES)):
        url = get_member(item, "url", str, "")
        entries.append(
            UploadEntry(url, store_from(call, partial(image_upload.fetch_image, url)), tag_ids)
        )
    return image_upload.add_images(call, entries)


@register_operation("CreateImagesFromPredictions", "POST", f"{IMAGES}/predictions", roles.REVIEW)
def create_from_predictions(call: ApiRequest) -> Reply:
    entries = []
    for item, tag_ids in image_upload.parse_batch(call.json(MAX_BATCH_JSON_BYTES)):
        prediction_id = parse_uuids([get_member(item, "id", str, "")], "id", 1)[0]
        take = partial(image_upload.sample_of_prediction, call, prediction_id)
        entries.append(UploadEntry(str(prediction_id), take, tag_ids))
    return image_upload.add_images(call, entries)


@register_operation("GetTaggedImages", "GET", f"{IMAGES}/tagged", roles.TRAIN)
def get_tagged(call: ApiRequest) -> Reply:
    return Reply(_page(call, _asked_for(call, "tagged")))


@register_operation("GetUntaggedImages", "GET", f"{IMAGES}/untagged", roles.TRAIN)
def get_untagged(call: ApiRequest) -> Reply:
    return Reply(_page(call, _asked_for(call, "untagged")))


@register_operation("GetTaggedImageCount", "GET", f"{IMAGES}/tagged/count", roles.TRAIN)
def count_tagged(call: ApiRequest) -> Reply:
    return Reply(_asked_for(call, "tagged").count())


@register_operation("GetUntaggedImageCount", "GET", f"{IMAGES}/untagged/count", roles.TRAIN)
def count_untagged(call: ApiRequest) -> Reply:
    return Reply(_asked_for(call, "untagged").count())


@register_operation("GetImages", "GET", IMAGES, roles.TRAIN, since=(3, 3))
def get_images(call: ApiRequest) -> Reply:
    return Reply(_page(call, _asked_for(call, call.text("taggingStatus").lower())))


@register_operation("GetImageCount", "GET", f"{IMAGES}/count", roles.TRAIN, since=(3, 3))
def count_images(call: ApiRequest) -> Reply:
    return Reply(_asked_for(call, call.text("taggingStatus").lower()).count())


@register_operation("GetImagesByIds", "GET", f"{IMAGES}/id", roles.TRAIN)
def get_by_ids(call: ApiRequest) -> Reply:
    """Return these images, in the order asked for; without ids the newest 50, like the service."""
    ids = call.uuids("imageIds", MAX_IDS)
    rows = _rows(call, [])
    if not ids:
        return Reply(image_upload.render_images(call, rows.order_by("-pk")[:50]))
    found = {row.uuid: row for row in rows.filter(uuid__in=ids)}
    return Reply(image_upload.render_images(call, [found[one] for one in ids if one in found]))


@register_operation("DeleteImages", "DELETE", IMAGES, roles.REVIEW)
def delete_images(call: ApiRequest) -> Reply:
    """Delete these images, or have all deleted. An iteration keeps what it was trained on."""
    ids = call.uuids("imageIds", MAX_IDS)
    everything = call.version >= (3, 1) and call.boolean("allImages")
    if bool(ids) == everything:
        raise ApiError("BadRequestInvalidIds", "Say either imageIds or allImages=true.")
    if everything:
        image_deletion.ask_to_remove_all_images(call.project, by=call.user)
        return Reply(status=202)
    image_deletion.remove_images(
        image_queries.current_images(call.project).filter(uuid__in=ids), by=call.user
    )
    return NO_CONTENT


@register_operation("CreateImageTags", "POST", f"{IMAGES}/tags", roles.REVIEW)
@durable_transaction()
def create_image_tags(call: ApiRequest) -> Reply:
    """Tag images. In a Multiclass project a tag replaces the one before; a second is `exceeded`."""
    items = get_list(call.json(MAX_BATCH_JSON_BYTES), "tags", dict)
    # Cut before parsing: a body of any length costs no more than a full batch
    pairs = [(_id(item, "imageId"), _id(item, "tagId")) for item in items[: MAX_BATCH * MAX_TAGS]]
    if len(items) > len(pairs):
        raise ApiError("BadRequestExceededBatchSize", "Too many tags in one call.")
    image_ids = {one for one, _tag in pairs}
    # What an image has is read, and written anew with more: nobody may tag it in between
    image_upload.lock_samples(Sample.objects.filter(project=call.project, uuid__in=image_ids))
    found = {
        row.uuid: row
        for row in image_queries.current_images(call.project).filter(uuid__in=image_ids)
    }
    if any(one not in found for one, _tag in pairs):
        raise ApiError("NotFoundImage", "Invalid image")
    categories = {
        one.uuid: one
        for one in tags.get_tags_by_id(call.project, list({tag for _one, tag in pairs}))
    }
    held = image_queries.tags_by_image(list(found.values()))
    summary: dict[str, list[dict[str, str]]] = {"created": [], "duplicated": [], "exceeded": []}
    given: dict[UUID, list[Category]] = {}
    for image_id, tag_id in pairs:
        before = held.get(found[image_id].pk, [])
        # In a Multiclass project the first new tag replaces those before, so only it can repeat
        new = given.get(image_id, [])
        if categories[tag_id] in (new if new and not call.project.multilabel else [*before, *new]):
            outcome = "duplicated"
        elif new and not call.project.multilabel:
            outcome = "exceeded"
        else:
            outcome, given[image_id] = "created", [*new, categories[tag_id]]
        summary[outcome].append({"imageId": str(image_id), "tagId": str(tag_id)})
    image_upload.add_tags(call, [(found[image_id], new) for image_id, new in given.items()], held)
    return Reply(summary)


@register_operation("DeleteImageTags", "DELETE", f"{IMAGES}/tags", roles.REVIEW)
def delete_image_tags(call: ApiRequest) -> Reply:
    image_ids, tag_ids = call.uuids("imageIds", MAX_BATCH), call.uuids("tagIds", MAX_TAGS)
    if not image_ids or not tag_ids:
        raise ApiError("BadRequestInvalidIds", "imageIds and tagIds are required.")
    samples = Sample.objects.filter(project=call.project, uuid__in=image_ids)
    category_removal.take_off(samples, tags.get_tags_by_id(call.project, tag_ids), by=call.user)
    return NO_CONTENT


def _rows(call: ApiRequest, tag_ids: list[UUID]) -> QuerySet:
    iteration = iterations.requested_iteration(call)
    if iteration is None:
        return image_queries.current_images(call.project, with_one_of=tag_ids)
    if iteration.run is None:
        return image_queries.no_images()
    return image_queries.dataset_images(iteration.run.dataset, with_one_of=tag_ids)


def _asked_for(call: ApiRequest, status: str) -> QuerySet:
    if call.text("$filter"):
        raise not_implemented("metadata of images, nor filters on them")
    rows = _rows(call, call.uuids("tagIds", MAX_TAGS))
    if status == "tagged":
        rows = rows.filter(tag_id__isnull=False)
    elif status == "untagged":
        rows = rows.filter(tag_id__isnull=True)
    return rows


def _page(call: ApiRequest, rows: QuerySet) -> list[dict[str, Any]]:
    take, skip = call.integer("take", 50, MAX_IDS), call.integer("skip", 0, 2**31 - 1)
    ordered = rows.order_by("pk" if call.text("orderBy").lower() == "oldest" else "-pk")
    return image_upload.render_images(call, ordered[skip : skip + take])


def _id(item: dict[str, Any], name: str) -> UUID:
    return parse_uuids([get_member(item, name, str, "")], name, 1)[0]

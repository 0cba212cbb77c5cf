"""Images: added from data, files, addresses and predictions; listed, tagged and deleted."""

from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from accounts import roles
from common.commits import on_disk
from common.json_bodies import Base64
from customvision.api import deletion, image_queries, image_upload, iterations, tags
from customvision.api.api_request import MOST_BATCH_JSON_BYTES, Call, member, members_list, parse_uuids
from customvision.api.errors import Fault, not_implemented
from customvision.api.image_upload import MOST_TAGS, Entry, from_bytes
from customvision.api.request_bodies import Part
from customvision.api.routing import NO_CONTENT, Reply, operation
from predictions.models import Category, Sample

IMAGES = "projects/{projectId}/images"
MOST_IDS = 256
MOST_BATCH = 64


@operation("CreateImagesFromData", "POST", IMAGES, roles.REVIEW)
def create_from_data(call: Call) -> Reply:
    tag_ids = call.uuids("tagIds", MOST_TAGS)
    parts = call.images(image_upload.MOST_BYTES)
    return image_upload.create(
        call, [Entry(part.file_name, from_bytes(call, partial(_data, part)), tag_ids) for part in parts]
    )


@operation("CreateImagesFromFiles", "POST", f"{IMAGES}/files", roles.REVIEW)
def create_from_files(call: Call) -> Reply:
    entries = []
    for item, tag_ids in image_upload.batch(call.json_with_pictures()):
        take = from_bytes(call, partial(image_upload.decoded, member(item, "contents", (str, Base64), "")))
        entries.append(Entry(member(item, "name", str, ""), take, tag_ids))
    return image_upload.create(call, entries)


@operation("CreateImagesFromUrls", "POST", f"{IMAGES}/urls", roles.REVIEW)
def create_from_urls(call: Call) -> Reply:
    entries = []
    for item, tag_ids in image_upload.batch(call.json(MOST_BATCH_JSON_BYTES)):
        url = member(item, "url", str, "")
        entries.append(Entry(url, from_bytes(call, partial(image_upload.fetched, url)), tag_ids))
    return image_upload.create(call, entries)


@operation("CreateImagesFromPredictions", "POST", f"{IMAGES}/predictions", roles.REVIEW)
def create_from_predictions(call: Call) -> Reply:
    entries = []
    for item, tag_ids in image_upload.batch(call.json(MOST_BATCH_JSON_BYTES)):
        prediction_id = parse_uuids([member(item, "id", str, "")], "id", 1)[0]
        take = partial(image_upload.predicted, call, prediction_id)
        entries.append(Entry(str(prediction_id), take, tag_ids))
    return image_upload.create(call, entries)


@operation("GetTaggedImages", "GET", f"{IMAGES}/tagged", roles.TRAIN)
def get_tagged(call: Call) -> Reply:
    return Reply(_page(call, _asked_for(call, "tagged")))


@operation("GetUntaggedImages", "GET", f"{IMAGES}/untagged", roles.TRAIN)
def get_untagged(call: Call) -> Reply:
    return Reply(_page(call, _asked_for(call, "untagged")))


@operation("GetTaggedImageCount", "GET", f"{IMAGES}/tagged/count", roles.TRAIN)
def count_tagged(call: Call) -> Reply:
    return Reply(_asked_for(call, "tagged").count())


@operation("GetUntaggedImageCount", "GET", f"{IMAGES}/untagged/count", roles.TRAIN)
def count_untagged(call: Call) -> Reply:
    return Reply(_asked_for(call, "untagged").count())


@operation("GetImages", "GET", IMAGES, roles.TRAIN, since=(3, 3))
def get_images(call: Call) -> Reply:
    return Reply(_page(call, _asked_for(call, call.text("taggingStatus").lower())))


@operation("GetImageCount", "GET", f"{IMAGES}/count", roles.TRAIN, since=(3, 3))
def count_images(call: Call) -> Reply:
    return Reply(_asked_for(call, call.text("taggingStatus").lower()).count())


@operation("GetImagesByIds", "GET", f"{IMAGES}/id", roles.TRAIN)
def get_by_ids(call: Call) -> Reply:
    """Return these images, in the order asked for; without ids the newest 50, as the service does."""
    ids = call.uuids("imageIds", MOST_IDS)
    rows = _rows(call, [])
    if not ids:
        return Reply(image_upload.shown(call, rows.order_by("-pk")[:50]))
    found = {row.uuid: row for row in rows.filter(uuid__in=ids)}
    return Reply(image_upload.shown(call, [found[one] for one in ids if one in found]))


@operation("DeleteImages", "DELETE", IMAGES, roles.REVIEW)
def delete_images(call: Call) -> Reply:
    """Delete these images, or have all deleted. What an iteration has learned from stays with it."""
    ids = call.uuids("imageIds", MOST_IDS)
    everything = call.version >= (3, 1) and call.boolean("allImages")
    if bool(ids) == everything:
        raise Fault("BadRequestInvalidIds", "Say either imageIds or allImages=true.")
    if everything:
        deletion.ask_to_remove_all_images(call.project, by=call.user)
        return Reply(status=202)
    deletion.remove_images(image_queries.images(call.project).filter(uuid__in=ids), by=call.user)
    return NO_CONTENT


@operation("CreateImageTags", "POST", f"{IMAGES}/tags", roles.REVIEW)
@on_disk()
def create_image_tags(call: Call) -> Reply:
    """Tag images. In a Multiclass project another tag takes the place of the one before, and a second is `exceeded`."""
    items = members_list(call.json(MOST_BATCH_JSON_BYTES), "tags", dict)
    pairs = [(_id(item, "imageId"), _id(item, "tagId")) for item in items[: MOST_BATCH * MOST_TAGS]]
    if len(items) > len(pairs):
        raise Fault("BadRequestExceededBatchSize", "Too many tags in one call.")
    image_ids = {one for one, _tag in pairs}
    image_upload.lock(Sample.objects.filter(project=call.project, uuid__in=image_ids))
    found = {row.uuid: row for row in image_queries.images(call.project).filter(uuid__in=image_ids)}
    if any(one not in found for one, _tag in pairs):
        raise Fault("NotFoundImage", "Invalid image")
    categories = {one.uuid: one for one in tags.by_ids(call.project, list({tag for _one, tag in pairs}))}
    held = image_queries.tags_of(list(found.values()))
    summary: dict[str, list[dict[str, str]]] = {"created": [], "duplicated": [], "exceeded": []}
    given: dict[UUID, list[Category]] = {}
    for image_id, tag_id in pairs:
        before = held.get(found[image_id].pk, [])
        new = given.get(image_id, [])
        if categories[tag_id] in (new if new and not call.project.multilabel else [*before, *new]):
            outcome = "duplicated"
        elif new and not call.project.multilabel:
            outcome = "exceeded"
        else:
            outcome, given[image_id] = "created", [*new, categories[tag_id]]
        summary[outcome].append({"imageId": str(image_id), "tagId": str(tag_id)})
    image_upload.tag(call, [(found[image_id], new) for image_id, new in given.items()], held)
    return Reply(summary)


@operation("DeleteImageTags", "DELETE", f"{IMAGES}/tags", roles.REVIEW)
def delete_image_tags(call: Call) -> Reply:
    image_ids, tag_ids = call.uuids("imageIds", MOST_BATCH), call.uuids("tagIds", MOST_TAGS)
    if not image_ids or not tag_ids:
        raise Fault("BadRequestInvalidIds", "imageIds and tagIds are required.")
    samples = Sample.objects.filter(project=call.project, uuid__in=image_ids)
    deletion.untag(samples, tags.by_ids(call.project, tag_ids), by=call.user)
    return NO_CONTENT


def _data(part: Part) -> bytes:
    return part.data


def _rows(call: Call, tag_ids: list[UUID]) -> QuerySet:
    iteration = iterations.asked_for(call)
    if iteration is None:
        return image_queries.images(call.project, with_one_of=tag_ids)
    if iteration.run is None:
        return image_queries.of_nothing()
    return image_queries.images_in(iteration.run.dataset, with_one_of=tag_ids)


def _asked_for(call: Call, status: str) -> QuerySet:
    if call.text("$filter"):
        raise not_implemented("metadata of images, nor filters on them")
    rows = _rows(call, call.uuids("tagIds", MOST_TAGS))
    if status == "tagged":
        rows = rows.filter(tag_id__isnull=False)
    elif status == "untagged":
        rows = rows.filter(tag_id__isnull=True)
    return rows


def _page(call: Call, rows: QuerySet) -> list[dict[str, Any]]:
    take, skip = call.integer("take", 50, MOST_IDS), call.integer("skip", 0, 2**31 - 1)
    ordered = rows.order_by("pk" if call.text("orderBy").lower() == "oldest" else "-pk")
    return image_upload.shown(call, ordered[skip : skip + take])


def _id(item: dict[str, Any], name: str) -> UUID:
    return parse_uuids([member(item, name, str, "")], name, 1)[0]

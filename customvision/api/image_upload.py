"""Adding images, alone or in batches; an entry that is refused gets a status in its place."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from common import fetching
from common.errors import Unavailable
from common.json_bodies import Base64, decode_base64
from common.media import cost, images
from common.media.images import InvalidPicture
from common.transactions import durable_transaction
from customvision.api import image_deletion, image_queries, responses, tags
from customvision.api.api_request import ApiRequest, get_list, get_member, parse_uuids
from customvision.api.errors import ApiError, not_implemented
from customvision.api.request_bodies import MAX_PARTS
from customvision.api.routing import Reply
from customvision.models import StoredPrediction, TrainingImage
from predictions import quotas, uploads
from predictions.models import Category, Sample
from review import decisions

MAX_BYTES = 6 * 1024 * 1024
MAX_TAGS = 20
# The length of a base64 text overstates the picture by its line breaks
_ROOM_FOR_LINE_BREAKS = MAX_BYTES  # a slash may be two characters of JSON, too
REASON = "Tagged through the API"


class EntryRejected(Exception):
    """This entry of a batch is refused; the status says why."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True)
class UploadEntry:
    """One picture to add; `take` stores it and returns its sample, or raises EntryRejected."""

    source: str
    take: Callable[[], Sample]
    tag_ids: list[UUID]


def parse_batch(body: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[UUID]]]:
    """Yield the entries of a batch, each with its tags: its own, or those of the batch."""
    items = get_list(body, "images", dict)
    if not items:
        raise ApiError("BadRequestImageBatch", "The batch has no images.")
    if len(items) > MAX_PARTS:
        raise ApiError(
            "BadRequestExceededBatchSize", f"At most {MAX_PARTS} images may be sent at once."
        )
    if any(get_member(item, "regions", list, []) for item in items):
        raise ApiError(
            "BadRequestImageRegions", "Classifr classifies whole pictures and takes no regions."
        )
    if get_member(body, "metadata", dict, {}):
        raise not_implemented("metadata of images")
    shared = get_list(body, "tagIds", str)
    for item in items:
        yield item, parse_uuids([*get_list(item, "tagIds", str), *shared], "tagIds", MAX_TAGS)


def add_images(call: ApiRequest, entries: list[UploadEntry]) -> Reply:
    """Add a batch, each entry by itself: an error of one does not stop the others."""
    wanted = {id_ for entry in entries for id_ in entry.tag_ids}
    categories = {one.uuid: one for one in tags.project_tags(call.project).filter(uuid__in=wanted)}
    results: list[dict[str, Any]] = []
    taken: list[int] = []
    for entry in entries:
        try:
            sample, status = _take(call, entry, categories)
            taken.append(sample.pk)
            results.append({"sourceUrl": entry.source, "status": status, "image": sample.pk})
        except EntryRejected as refusal:
            results.append({"sourceUrl": entry.source, "status": refusal.status})
    found = list(image_queries.current_images(call.project).filter(pk__in=taken))
    rows = dict(zip([row.pk for row in found], render_images(call, found), strict=True))
    for result in results:
        if "image" in result:
            result["image"] = rows[result["image"]]
    is_successful = all(result["status"] == "OK" for result in results)
    # Since 3.3 the service answers 207 (Multi-Status) if some entry failed
    answered = 200 if is_successful or call.version < (3, 3) else 207
    return Reply({"isBatchSuccessful": is_successful, "images": results}, answered)


def _take(
    call: ApiRequest, entry: UploadEntry, categories: dict[UUID, Category]
) -> tuple[Sample, str]:
    """Store one picture with its tags; return its sample and its status in the batch."""
    if any(id_ not in categories for id_ in entry.tag_ids):
        raise EntryRejected("ErrorInvalidTag" if call.version >= (3, 4) else "ErrorUnknown")
    if len(entry.tag_ids) > 1 and not call.project.multilabel:
        raise EntryRejected("ErrorTagLimitExceed")
    sample = entry.take()
    with durable_transaction():
        if not lock_samples(Sample.objects.with_picture().filter(pk=sample.pk)):
            # Deleted between `take` and the lock: sent again, it is stored
            raise EntryRejected("ErrorStorage")
        known = image_queries.current_images(call.project).filter(pk=sample.pk).first()
        if known and image_deletion.is_going(known):
            # Taken out now, since the job would remove what is being added here
            image_deletion.take_out([sample], by=call.user)
            known = None
        TrainingImage.objects.get_or_create(sample=sample)
        # Only tags it does not have yet are written, so a repeated upload adds no decision
        held = image_queries.tags_by_image([known]) if known else {}
        new = [
            categories[id_]
            for id_ in entry.tag_ids
            if categories[id_] not in held.get(sample.pk, [])
        ]
        if new:
            add_tags(call, [(sample, new)], held)
        elif (
            known is None
            and (decision := decisions.latest_decision(sample))
            and decision.category is None
        ):
            # Discarded earlier, and now added again without a tag
            decisions.reopen(sample, by=call.user)
    return sample, "OKDuplicate" if known else "OK"


def add_tags(
    call: ApiRequest, new: list[tuple[Sample, list[Category]]], held: Mapping[int, list[Category]]
) -> None:
    """Give images new tags: in addition to those in `held` if Multilabel, else in their place."""
    before = held if call.project.multilabel else {}
    labels = [(sample, [*before.get(sample.pk, []), *more]) for sample, more in new]
    decisions.label_many_multilabel(call.project, labels, by=call.user, reason=REASON)


def lock_samples(samples: QuerySet[Sample]) -> list[int]:
    """Lock samples until the transaction ends, and return the keys of those that exist.

    A set of tags is read and then written anew with more: nobody else may tag them in between.
    """
    # In the order of the keys, so that two callers cannot deadlock
    return list(samples.select_for_update().order_by("pk").values_list("pk", flat=True))


def render_images(call: ApiRequest, rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Return rows of `current_images` or `dataset_images` as clients get them."""
    found = list(rows)
    tagged = image_queries.tags_by_image(found)
    return [responses.image(call, row, tagged.get(row.pk, [])) for row in found]


def store_from(call: ApiRequest, read: Callable[[], bytes]) -> Callable[[], Sample]:
    """Return a function that stores the picture which `read` returns."""

    def take() -> Sample:
        data = read()
        if len(data) > MAX_BYTES:
            raise EntryRejected("ErrorImageSize")
        quotas.count_work(call.user, megapixels=cost.megapixels(data))
        try:  # no model looks at it yet, so it is decoded no larger than needed
            picture = images.decode_upload(
                data, most_bytes=MAX_BYTES, least_side=1, sender=call.user.pk
            )
            with uploads.kept(call.project, picture, by=call.user, origin=Sample.Origin.IMPORT) as (
                sample,
                _is_new,
            ):
                return sample
        except InvalidPicture as error:
            raise EntryRejected("ErrorImageFormat") from error
        except Unavailable as error:
            raise EntryRejected("ErrorStorage") from error

    return take


def sample_of_prediction(call: ApiRequest, prediction_id: UUID) -> Sample:
    stored = StoredPrediction.objects.filter(
        prediction__project=call.project, prediction__uuid=prediction_id
    )
    found = stored.select_related("prediction__sample").first()
    if found is None or not found.prediction.sample.has_picture:
        raise EntryRejected("ErrorSource")
    return found.prediction.sample


def picture_bytes(contents: str | Base64) -> bytes:
    if isinstance(contents, Base64) and contents.most_bytes > MAX_BYTES + _ROOM_FOR_LINE_BREAKS:
        raise EntryRejected("ErrorImageSize")
    try:
        return contents.decode() if isinstance(contents, Base64) else decode_base64(contents)
    except ValueError as error:
        raise EntryRejected("ErrorImageFormat") from error


def fetch_image(url: str) -> bytes:
    try:
        return fetching.fetch_url(url, most_bytes=MAX_BYTES)
    except fetching.ResponseTooLarge as error:
        raise EntryRejected("ErrorImageSize") from error
    except fetching.FetchRefused as error:
        raise EntryRejected("ErrorSource") from error

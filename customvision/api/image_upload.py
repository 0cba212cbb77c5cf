"""Takes images in, one by one or in batches; what is wrong with one is said in its place."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from common import fetching
from common.commits import on_disk
from common.errors import Unavailable
from common.json_bodies import Base64, decode_base64
from common.media import cost
from common.media import images as door
from common.media.images import InvalidPicture
from customvision.api import deletion, image_queries, responses, tags
from customvision.api.api_request import Call, member, members_list, parse_uuids
from customvision.api.errors import Fault, not_implemented
from customvision.api.request_bodies import MOST_PARTS
from customvision.api.routing import Reply
from customvision.models import StoredPrediction, TrainingImage
from predictions import quotas, uploads
from predictions.models import Category, Sample
from review import decisions

MOST_BYTES = 6 * 1024 * 1024
MOST_TAGS = 20
_ROOM_FOR_LINE_BREAKS = MOST_BYTES  # a slash may be two characters of JSON, too
REASON = "Tagged through the API"


class Refused(Exception):
    """This entry of a batch cannot be taken in; the status says why."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True)
class Entry:
    """One picture to add. `take` keeps it and returns its sample, or raises Refused."""

    source: str
    take: Callable[[], Sample]
    tag_ids: list[UUID]


def batch(body: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[UUID]]]:
    """Yield the entries of a batch, each with its tags: its own, or those of the batch."""
    items = members_list(body, "images", dict)
    if not items:
        raise Fault("BadRequestImageBatch", "The batch has no images.")
    if len(items) > MOST_PARTS:
        raise Fault("BadRequestExceededBatchSize", f"At most {MOST_PARTS} images may be sent at once.")
    if any(member(item, "regions", list, []) for item in items):
        raise Fault("BadRequestImageRegions", "Classifr classifies whole pictures and takes no regions.")
    if member(body, "metadata", dict, {}):
        raise not_implemented("metadata of images")
    shared = members_list(body, "tagIds", str)
    for item in items:
        yield item, parse_uuids([*members_list(item, "tagIds", str), *shared], "tagIds", MOST_TAGS)


def create(call: Call, entries: list[Entry]) -> Reply:
    """Take in a batch, each entry by itself: what is wrong with one is said in its place."""
    wanted = {id_ for entry in entries for id_ in entry.tag_ids}
    categories = {one.uuid: one for one in tags.of(call.project).filter(uuid__in=wanted)}
    results: list[dict[str, Any]] = []
    taken: list[int] = []
    for entry in entries:
        try:
            sample, status = _take(call, entry, categories)
            taken.append(sample.pk)
            results.append({"sourceUrl": entry.source, "status": status, "image": sample.pk})
        except Refused as refusal:
            results.append({"sourceUrl": entry.source, "status": refusal.status})
    found = list(image_queries.images(call.project).filter(pk__in=taken))
    rows = dict(zip([row.pk for row in found], shown(call, found), strict=True))
    for result in results:
        if "image" in result:
            result["image"] = rows[result["image"]]
    is_successful = all(result["status"] == "OK" for result in results)
    answered = 200 if is_successful or call.version < (3, 3) else 207
    return Reply({"isBatchSuccessful": is_successful, "images": results}, answered)


def _take(call: Call, entry: Entry, categories: dict[UUID, Category]) -> tuple[Sample, str]:
    """Keep one picture with its tags; return its sample and whether it was there before, as a status."""
    if any(id_ not in categories for id_ in entry.tag_ids):
        raise Refused("ErrorInvalidTag" if call.version >= (3, 4) else "ErrorUnknown")
    if len(entry.tag_ids) > 1 and not call.project.multilabel:
        raise Refused("ErrorTagLimitExceed")
    sample = entry.take()
    with on_disk():
        if not lock(Sample.objects.with_picture().filter(pk=sample.pk)):
            raise Refused("ErrorStorage")  # it was let go or deleted at this very moment: sent again, it is taken in
        known = image_queries.images(call.project).filter(pk=sample.pk).first()
        if known and deletion.is_going(known):
            deletion.take_out(sample, by=call.user)
            known = None
        TrainingImage.objects.get_or_create(sample=sample)
        held = image_queries.tags_of([known]) if known else {}
        new = [categories[id_] for id_ in entry.tag_ids if categories[id_] not in held.get(sample.pk, [])]
        if new:
            tag(call, [(sample, new)], held)
        elif known is None and (ruling := decisions.newest(sample)) and ruling.category is None:
            decisions.reopen(sample, by=call.user)
    return sample, "OKDuplicate" if known else "OK"


def tag(call: Call, new: list[tuple[Sample, list[Category]]], held: Mapping[int, list[Category]]) -> None:
    """Give images tags that they do not have: beside those they hold in a Multilabel project, else in their place."""
    before = held if call.project.multilabel else {}
    rulings = [(sample, [*before.get(sample.pk, []), *more]) for sample, more in new]
    decisions.label_with_all(call.project, rulings, by=call.user, reason=REASON)


def lock(samples: QuerySet[Sample]) -> list[int]:
    """Let nobody else tag these until the transaction ends: a set of tags is read, and written anew with more.

    Returns the keys of those that are there.
    """
    return list(samples.select_for_update().order_by("pk").values_list("pk", flat=True))


def shown(call: Call, rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Return images, rows of `image_rows`, as clients get them."""
    found = list(rows)
    tagged = image_queries.tags_of(found)
    return [responses.image(call, row, tagged.get(row.pk, [])) for row in found]


def from_bytes(call: Call, read: Callable[[], bytes]) -> Callable[[], Sample]:
    """Return how to keep the picture that `read` gives."""

    def take() -> Sample:
        data = read()
        if len(data) > MOST_BYTES:
            raise Refused("ErrorImageSize")
        quotas.count_work(call.user, megapixels=cost.megapixels(data))
        try:  # nobody looks at it yet, so no side is needed
            picture = door.receive(data, most_bytes=MOST_BYTES, least_side=1, sender=call.user.pk)
            return uploads.keep(call.project, picture, by=call.user, origin=Sample.Origin.IMPORT)[0]
        except InvalidPicture as error:
            raise Refused("ErrorImageFormat") from error
        except Unavailable as error:
            raise Refused("ErrorStorage") from error

    return take


def predicted(call: Call, prediction_id: UUID) -> Sample:
    stored = StoredPrediction.objects.filter(prediction__project=call.project, prediction__uuid=prediction_id)
    found = stored.select_related("prediction__sample").first()
    if found is None or not found.prediction.sample.has_picture:
        raise Refused("ErrorSource")
    return found.prediction.sample


def decoded(contents: str | Base64) -> bytes:
    if isinstance(contents, Base64) and contents.most_bytes > MOST_BYTES + _ROOM_FOR_LINE_BREAKS:
        raise Refused("ErrorImageSize")
    try:
        return contents.decode() if isinstance(contents, Base64) else decode_base64(contents)
    except ValueError as error:
        raise Refused("ErrorImageFormat") from error


def fetched(url: str) -> bytes:
    try:
        return fetching.fetch(url, most_bytes=MOST_BYTES)
    except fetching.TooLarge as error:
        raise Refused("ErrorImageSize") from error
    except fetching.CannotFetch as error:
        raise Refused("ErrorSource") from error

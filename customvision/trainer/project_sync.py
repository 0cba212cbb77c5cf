"""Makes a project of Custom Vision hold what a data set holds: its tags, and each picture once."""

import hashlib
import logging
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from common.progress import Progress, StageNote
from customvision.client import encoding
from customvision.client.client import CustomVisionClient
from customvision.client.errors import RequestRejected, ResponseLost
from customvision.trainer.upload_ledger import UploadLedger
from training.data.examples import Example, decode_full_picture
from training.errors import TrainingFailed
from training.trainers.base import TrainingTask

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 180.0  # for one call, with all its tries
# Limits of the service for one call
MAX_IN_BATCH = 64
MAX_BATCH_BYTES = 6_000_000  # of base64, which is what is sent
MAX_TAKEN = 256
MIN_IMAGES_PER_TAG = 5  # or the service trains nothing at all
ROUNDS = 3  # how often something is tried that the service did not do
# What `create_images` says of a picture; any other status means that it cannot be used
KEPT = ("OK", "OKDuplicate")
FULL = ("ErrorLimitExceed", "ErrorTagLimitExceed")
FOR_NOW = ("ErrorStorage", "ErrorUnknown", "ErrorSource")
NAME_TAKEN = ("BadRequestProjectNameNotUnique", "BadRequestTagNameNotUnique")


class RemoteProjectClient:
    """One project at the service; every call has the patience of background work."""

    def __init__(self, client: CustomVisionClient, project: Any) -> None:
        self.client = client
        self.id: str = str(project.id)
        self.name: str = project.name

    def call(self, operation: str, *arguments: Any, repeat: bool = True, **options: Any) -> Any:
        return self.client.call(
            operation, self.id, *arguments, within=PATIENCE_SECONDS, repeat=repeat, **options
        )


def find_or_create_project(
    client: CustomVisionClient, task: TrainingTask, configured: str
) -> RemoteProjectClient:
    """Return the project for a task: the configured one, one that we created before, or a new one.

    Raises:
        TrainingFailed: the configured one does not exist, or is of a kind that cannot be used.
        CustomVisionError: as `Client.call`.
    """
    if configured:
        try:
            found = client.call("get_project", configured, within=PATIENCE_SECONDS)
        except RequestRejected as error:
            sentence = _(
                "AZURE_CUSTOM_VISION_PROJECTS names the project %(id)s, which is not there: "
                "%(reason)s"
            )
            raise TrainingFailed(sentence % {"id": configured, "reason": error}) from None
    else:
        found = _find_or_create(client, task)
    # With Multilabel the probabilities of a picture would not add up to 1
    if found.settings.classification_type != "Multiclass":
        sentence = _(
            "The Custom Vision project “%(name)s” is not one of multiclass classification. Name "
            "another one."
        )
        raise TrainingFailed(sentence % {"name": found.name})
    return RemoteProjectClient(client, found)


def _find_or_create(client: CustomVisionClient, task: TrainingTask) -> Any:
    # Found by a mark in the description: a lost response to `create_project` must not lead to a
    # second project, and somebody may have renamed the first
    mark = f"[classifr:{task.project_id or task.project}]"
    names = [
        f"classifr-{task.project}",
        f"classifr-{task.project}-{(task.project_id or 'own')[:8]}",
    ]
    for _round in range(ROUNDS):
        for one in client.call("get_projects", within=PATIENCE_SECONDS):
            if mark in (one.description or ""):
                return one
        try:
            return client.call(
                "create_project",
                names[0],
                description=f"Made by Classifr. Please keep this mark: {mark}",
                classification_type="Multiclass",
                within=PATIENCE_SECONDS,
                repeat=False,
            )
        except ResponseLost:
            continue
        except RequestRejected as error:
            if error.reason not in NAME_TAKEN or len(names) == 1:
                raise
            names.pop(0)  # somebody else's project has the plain name
    raise TrainingFailed(_("Custom Vision did not make a project. Start the run again in a while."))


def ensure_tags(
    azure: RemoteProjectClient, names: Sequence[str], ledger: UploadLedger
) -> dict[str, str]:
    """Return the tag id of every name, creating those tags that are missing, each once."""
    for _round in range(ROUNDS):
        known = {tag.name: str(tag.id) for tag in azure.call("get_tags")}
        missing = [name for name in names if name not in known]
        if not missing:
            ledger.save()
            return {name: known[name] for name in names}
        for name in missing:
            try:
                ledger.tags.append(str(azure.call("create_tag", name, repeat=False).id))
            except ResponseLost:
                continue  # the next round sees whether it was created
            except RequestRejected as error:
                if error.reason not in NAME_TAKEN:
                    raise
    raise TrainingFailed(_("Custom Vision did not make a tag. Start the run again in a while."))


def choose_examples(task: TrainingTask) -> tuple[list[Example], list[Example]]:
    """Return what is sent, and which of that was meant for the test.

    The test split stays home, for the service must not learn what it is tested on; but of a
    category that would stay below the service's minimum, as many go along as that takes.

    Raises:
        TrainingFailed: naming the categories of which there are too few pictures even so.
    """
    pictured = [example for example in task.examples if example.read is not None]
    own = [example for example in pictured if example.split != "test"]
    counts = Counter(name for example in own for name in example.categories)
    lent: list[Example] = []
    for example in sorted(pictured, key=lambda each: each.sha256):
        if example.split == "test" and any(
            counts[name] < MIN_IMAGES_PER_TAG for name in example.categories
        ):
            lent.append(example)
            counts.update(example.categories)
    if few := [name for name in task.class_names if counts[name] < MIN_IMAGES_PER_TAG]:
        told = ", ".join(f"“{name}” ({counts[name]})" for name in few)
        sentence = _(
            "Custom Vision needs at least %(fewest)d pictures of each category. There are too few "
            "that are kept here of: %(names)s. Add pictures."
        )
        raise TrainingFailed(sentence % {"fewest": MIN_IMAGES_PER_TAG, "names": told})
    return [*own, *lent], lent


@dataclass(frozen=True)
class PictureUpload:
    """A picture that the project should have, with its tag."""

    example: Example
    tag: str

    @property
    def sha256(self) -> str:
        return self.example.sha256


def sync_images(
    azure: RemoteProjectClient,
    examples: Iterable[Example],
    tags: dict[str, str],
    ledger: UploadLedger,
    progress: Progress,
) -> int:
    """Have the project hold these examples, and no others that we sent earlier.

    What is there already is not sent again; pictures that others added are left alone.

    Returns:
        How many pictures the service cannot use.
    """
    wanted = {
        example.sha256: PictureUpload(example, tags[example.category]) for example in examples
    }
    present = _present(azure)
    # The ledger may be older than the project: somebody can delete images in the portal
    ledger.images = {sha256: id_ for sha256, id_ in ledger.images.items() if id_ in present}
    _remove(azure, ledger, wanted)
    _retag(azure, ledger, wanted, present)
    missing = [
        one for sha256, one in wanted.items() if sha256 not in ledger.images and one.example.read
    ]
    # Last, since a call may fail in the middle: what is wrong at the service is corrected by then
    refused = _upload(azure, missing, ledger, progress)
    _remove_empty_tags(azure, tags, ledger)
    return refused


def _present(azure: RemoteProjectClient) -> dict[str, set[str]]:
    """Return the tags of every image of the project, by the image's id."""
    found: dict[str, set[str]] = {}
    while page := azure.call("get_images", order_by="Oldest", take=MAX_TAKEN, skip=len(found)):
        before = len(found)
        found |= {str(image.id): {str(tag.tag_id) for tag in image.tags or []} for image in page}
        # Images deleted in between shift the pages: without progress it would ask for ever
        if len(page) < MAX_TAKEN or len(found) == before:
            break
    return found


def _remove(
    azure: RemoteProjectClient, ledger: UploadLedger, wanted: dict[str, PictureUpload]
) -> None:
    # Samples of equal pixels share an image, which stays while one of them is wanted
    staying = {id_ for sha256, id_ in ledger.images.items() if sha256 in wanted}
    leaving = sorted(set(ledger.images.values()) - staying)
    for ids in _pieces(leaving):
        azure.call("delete_images", image_ids=ids)
    ledger.images = {sha256: id_ for sha256, id_ in ledger.images.items() if sha256 in wanted}
    ledger.save()


def _retag(
    azure: RemoteProjectClient,
    ledger: UploadLedger,
    wanted: dict[str, PictureUpload],
    present: dict[str, set[str]],
) -> None:
    """Replace the tags of pictures whose category has changed."""
    from customvision.client import payloads

    should: dict[str, str] = {}
    # An image that stands for samples of different categories gets the tag of the first
    for sha256 in sorted(ledger.images.keys() & wanted.keys()):
        should.setdefault(ledger.images[sha256], wanted[sha256].tag)
    wrong = defaultdict(list)
    for id_, tag in should.items():
        for other in present[id_] - {tag}:
            wrong[other].append(id_)
    for other, theirs in wrong.items():
        for ids in _pieces(theirs):
            azure.call("delete_image_tags", ids, [other])
    without = [id_ for id_, tag in should.items() if tag not in present[id_]]
    for ids in _pieces(without):
        azure.call("create_image_tags", payloads.image_tags((id_, should[id_]) for id_ in ids))


def _upload(
    azure: RemoteProjectClient,
    missing: Sequence[PictureUpload],
    ledger: UploadLedger,
    progress: Progress,
) -> int:
    """Send pictures in batches, saving the ledger after each; return how many were refused."""
    refused, sent, again = 0, 0, list(missing)
    broken: list[PictureUpload] = []
    for _round in range(ROUNDS):
        waiting, again = again, []
        for batch in _batches(waiting, broken):
            share = {"done": sent, "total": len(missing)}
            note = _("Sending picture %(done)d of %(total)d") % share
            progress(sent, len(missing), StageNote(note, stage="upload"))
            for one, status, image_id in _send(azure, batch):
                if status in KEPT:
                    ledger.images[one.sha256] = image_id
                elif status in FULL:
                    ledger.save()
                    raise TrainingFailed(
                        _("Custom Vision is full: it takes no more pictures in its pricing tier.")
                    )
                elif status in FOR_NOW:
                    again.append(one)
                else:
                    logger.warning("Custom Vision cannot use sample %s: %s", one.sha256, status)
                    refused += 1
            ledger.save()
            sent = min(len(missing), sent + len(batch))
        if not again:
            return refused + len(broken)
    sentence = _(
        "Custom Vision could not keep %(count)d pictures. Start the run again in a while: the "
        "others are there."
    )
    raise TrainingFailed(sentence % {"count": len(again)})


def _send(
    azure: RemoteProjectClient, batch: Sequence[tuple[PictureUpload, bytes]]
) -> Iterator[tuple[PictureUpload, str, str]]:
    """Send one batch; yield each picture with its status and the id of its image.

    Samples of equal pixels are one picture: it is sent once, and stands for all of them.
    """
    from customvision.client import payloads

    # The digest is the name of the entry, which the service returns as `source_url`
    distinct: dict[str, tuple[PictureUpload, bytes]] = {}
    for one, data in batch:
        distinct.setdefault(hashlib.sha256(data).hexdigest(), (one, data))
    entries = payloads.image_batch((name, data, one.tag) for name, (one, data) in distinct.items())
    summary = azure.call("create_images_from_files", entries)
    results = {result.source_url: result for result in summary.images}
    for one, data in batch:
        result = results.get(hashlib.sha256(data).hexdigest())
        if result is None or (result.status in KEPT and result.image is None):
            yield one, "ErrorUnknown", ""
        else:
            yield one, result.status, str(result.image.id) if result.image else ""


def _batches(
    waiting: Iterable[PictureUpload], broken: list[PictureUpload]
) -> Iterator[list[tuple[PictureUpload, bytes]]]:
    """Encode pictures, and yield batches within the service's limits.

    A picture that cannot be read is left out, and added to `broken`.
    """
    batch: list[tuple[PictureUpload, bytes]] = []
    size = 0
    for one in waiting:
        assert one.example.read is not None  # noqa: S101 (only those with a picture are sent)
        picture = decode_full_picture(one.example.read, one.sha256)
        if picture is None:
            broken.append(one)
            continue
        data = encoding.encode_picture(picture.image)
        length = len(b64encode(data))
        if batch and (len(batch) == MAX_IN_BATCH or size + length > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((one, data))
        size += length
    if batch:
        yield batch


def _remove_empty_tags(
    azure: RemoteProjectClient, tags: dict[str, str], ledger: UploadLedger
) -> None:
    """Delete our tags that no image has any longer: the service would refuse to train."""
    for tag in azure.call("get_tags"):
        if str(tag.id) in ledger.tags and tag.name not in tags and not tag.image_count:
            azure.call("delete_tag", str(tag.id))
            ledger.tags.remove(str(tag.id))
    ledger.save()


def _pieces(ids: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), MAX_IN_BATCH):
        yield list(ids[start : start + MAX_IN_BATCH])

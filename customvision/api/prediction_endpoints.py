"""Answering: the Prediction API, and quick tests of the Training API."""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import roles
from common import fetching
from common.media import cost
from common.media import images as door
from common.media.images import InvalidPicture, Picture
from customvision.api import iterations, responses
from customvision.api.api_request import Call, member
from customvision.api.errors import Fault, bad_image_format
from customvision.api.request_bodies import Part, too_large
from customvision.api.routing import Reply, operation
from customvision.models import Iteration, StoredPrediction
from predictions import classification, quotas, uploads
from predictions.models import Project

CLASSIFY = "{projectId}/classify/iterations/{publishedName}"
QUICK_TEST = "projects/{projectId}/quicktest"
MOST_BYTES = 4 * 1024 * 1024
MOST_BYTES_QUICK_TEST = 6 * 1024 * 1024
LONGEST_APPLICATION = 100


@operation("ClassifyImage", "POST", f"{CLASSIFY}/image", roles.CLASSIFY, area="prediction")
def classify_image(call: Call) -> Reply:
    return _answer(call, _published(call), _sent(call, MOST_BYTES), store=True)


@operation("ClassifyImageWithNoStore", "POST", f"{CLASSIFY}/image/nostore", roles.CLASSIFY, area="prediction")
def classify_image_without_storing(call: Call) -> Reply:
    return _answer(call, _published(call), _sent(call, MOST_BYTES), store=False)


@operation("ClassifyImageUrl", "POST", f"{CLASSIFY}/url", roles.CLASSIFY, area="prediction")
def classify_url(call: Call) -> Reply:
    return _answer(call, _published(call), _fetched(call, MOST_BYTES), store=True)


@operation("ClassifyImageUrlWithNoStore", "POST", f"{CLASSIFY}/url/nostore", roles.CLASSIFY, area="prediction")
def classify_url_without_storing(call: Call) -> Reply:
    return _answer(call, _published(call), _fetched(call, MOST_BYTES), store=False)


@operation("QuickTestImage", "POST", f"{QUICK_TEST}/image", roles.TRAIN)
def quick_test_image(call: Call) -> Reply:
    return _answer(call, _tested(call), _sent(call, MOST_BYTES_QUICK_TEST), store=call.boolean("store", True))


@operation("QuickTestImageUrl", "POST", f"{QUICK_TEST}/url", roles.TRAIN)
def quick_test_url(call: Call) -> Reply:
    return _answer(call, _tested(call), _fetched(call, MOST_BYTES_QUICK_TEST), store=call.boolean("store", True))


def _published(call: Call) -> Iteration:
    """Return the iteration that is published under the name in the path; one query, as each prediction asks it."""
    project_id = call.uuid("projectId", "NotFoundProject")
    rows = Iteration.objects.select_related("project__workspace", "run__model_version", "own_version")
    name = call.path["publishedName"]
    is_text = "\0" not in name
    found = rows.filter(project__uuid=project_id, publish_name=name, deleted_at=None).first() if is_text else None
    if found is None:
        if not Project.objects.filter(uuid=project_id).exists():
            raise Fault("NotFoundProject", "Invalid project")
        raise Fault("NotFoundIteration", "Invalid iteration")
    call.project = found.project
    return found


def _tested(call: Call) -> Iteration:
    found = iterations.asked_for(call) or iterations.default_of(call.project)
    if found.version is None:
        raise Fault("BadRequestIterationIsNotTrained", "The iteration is not trained.")
    return found


def _sent(call: Call, most_bytes: int) -> Part:
    megapixels = 0.0
    try:
        part = call.images(most_bytes, most_parts=1)[0]
        if len(part.data) > most_bytes:
            raise too_large(most_bytes)
        megapixels = cost.megapixels(part.data)
    finally:  # what is no picture counts as well
        uploads.count_one(call.user, megapixels=megapixels)
    return part


def _fetched(call: Call, most_bytes: int) -> Part:
    uploads.count_one(call.user)
    url = member(call.json(), "url", str, "")
    try:
        part = Part(fetching.fetch(url, most_bytes=most_bytes), url.rpartition("/")[2])
    except fetching.TooLarge as error:
        raise too_large(most_bytes) from error
    except fetching.CannotFetch as error:
        raise Fault("BadRequestImageUrl", str(error)) from error
    quotas.count_work(call.user, megapixels=cost.megapixels(part.data))
    return part


def _answer(call: Call, iteration: Iteration, part: Part, *, store: bool) -> Reply:
    """Have an iteration look at a picture; keep the picture and the answer if asked to."""
    application = call.text("application")
    if len(application) > LONGEST_APPLICATION:
        raise Fault("BadRequestPredictionInvalidApplicationName", "The application name is too long.")
    version = iteration.version
    assert version is not None  # noqa: S101 (what is published or tested has one)
    version.project = call.project
    picture = _picture(call, part, least_side=classification.least_side(call.project, version))
    answer = classification.ask(call.project, [picture], version=version)
    created = timezone.now()
    if store:
        created = _store(call, answer, picture, part, application)
    with_type = call.version >= ((3, 1) if "publishedName" in call.path else (3, 3))
    ids = responses.tag_ids(version)
    return Reply(
        {
            "id": str(call.id),
            "project": str(call.project.uuid),
            "iteration": str(iteration.uuid),
            "created": responses.moment(created),
            "predictions": responses.scores(answer.scores[0].items(), ids, with_type=with_type),
        }
    )


def _picture(call: Call, part: Part, *, least_side: int | None) -> Picture:
    most = max(settings.UPLOAD_MAX_BYTES, MOST_BYTES_QUICK_TEST)
    try:
        return door.receive(part.data, most_bytes=most, least_side=least_side, sender=call.user.pk)
    except InvalidPicture as error:
        raise bad_image_format(call.id.hex) from error


def _store(call: Call, answer: classification.Answer, picture: Picture, part: Part, application: str) -> Any:
    """Keep picture and answer, under the id that the client is told; return the time that it is told."""
    sample, _created = uploads.keep(call.project, picture, by=call.user)
    name = uploads.shown_name(part.file_name.strip('"'))
    with transaction.atomic():
        prediction = classification.record(call.project, [(sample, picture, name)], answer, by=call.user)[0]
        prediction.uuid = call.id
        prediction.save(update_fields=["uuid"])
        StoredPrediction.objects.create(prediction=prediction, application=application)
    return prediction.created_at

"""Classification: the Prediction API, and the quick tests of the Training API."""

from typing import Any

from django.conf import settings
from django.utils import timezone

from accounts import roles
from common import fetching
from common.media import cost, images
from common.media.images import InvalidPicture, Picture
from customvision.api import iterations, responses
from customvision.api.api_request import ApiRequest
from customvision.api.errors import ApiError, bad_image_format
from customvision.api.request_bodies import UploadedPart, body_too_large
from customvision.api.routing import Reply, register_operation
from customvision.models import Iteration, StoredPrediction
from predictions import classification, projects, quotas, uploads
from predictions.models import Project

CLASSIFY = "{projectId}/classify/iterations/{publishedName}"
QUICK_TEST = "projects/{projectId}/quicktest"
MAX_BYTES = 4 * 1024 * 1024
MAX_BYTES_QUICK_TEST = 6 * 1024 * 1024
MAX_APPLICATION = 100


@register_operation("ClassifyImage", "POST", f"{CLASSIFY}/image", roles.CLASSIFY, area="prediction")
def classify_image(call: ApiRequest) -> Reply:
    return _answer(call, _published(call), sent_picture(call, MAX_BYTES), store=True)


@register_operation(
    "ClassifyImageWithNoStore",
    "POST",
    f"{CLASSIFY}/image/nostore",
    roles.CLASSIFY,
    area="prediction",
)
def classify_image_without_storing(call: ApiRequest) -> Reply:
    return _answer(call, _published(call), sent_picture(call, MAX_BYTES), store=False)


@register_operation(
    "ClassifyImageUrl", "POST", f"{CLASSIFY}/url", roles.CLASSIFY, area="prediction"
)
def classify_url(call: ApiRequest) -> Reply:
    return _answer(call, _published(call), fetched_picture(call, MAX_BYTES), store=True)


@register_operation(
    "ClassifyImageUrlWithNoStore",
    "POST",
    f"{CLASSIFY}/url/nostore",
    roles.CLASSIFY,
    area="prediction",
)
def classify_url_without_storing(call: ApiRequest) -> Reply:
    return _answer(call, _published(call), fetched_picture(call, MAX_BYTES), store=False)


@register_operation("QuickTestImage", "POST", f"{QUICK_TEST}/image", roles.TRAIN)
def quick_test_image(call: ApiRequest) -> Reply:
    return _answer(
        call,
        _tested(call),
        sent_picture(call, MAX_BYTES_QUICK_TEST),
        store=call.boolean("store", True),
    )


@register_operation("QuickTestImageUrl", "POST", f"{QUICK_TEST}/url", roles.TRAIN)
def quick_test_url(call: ApiRequest) -> Reply:
    return _answer(
        call,
        _tested(call),
        fetched_picture(call, MAX_BYTES_QUICK_TEST),
        store=call.boolean("store", True),
    )


def _published(call: ApiRequest) -> Iteration:
    """Return the iteration that is published under the name in the path, in any case."""
    # One query for project, workspace and version if the case is right: every prediction asks it
    project_id = call.uuid("projectId", "NotFoundProject")
    rows = Iteration.objects.select_related(
        "project__workspace", "run__model_version", "own_version"
    ).filter(project__uuid=project_id, project__modality=Project.Modality.IMAGE, deleted_at=None)
    name = call.path["publishedName"]
    found = None
    if "\0" not in name:  # PostgreSQL cannot even look for a NUL
        found = (
            rows.filter(publish_name=name).first()
            or rows.filter(publish_name__iexact=name).order_by("pk").first()
        )
    if found is None:
        # Only now: clients are told which of the two ids of the path is wrong
        if not Project.objects.filter(uuid=project_id).exists():
            raise ApiError("NotFoundProject", "Invalid project")
        raise ApiError("NotFoundIteration", "Invalid iteration")
    call.project = found.project
    return found


def _tested(call: ApiRequest) -> Iteration:
    found = iterations.requested_iteration(call) or iterations.default_iteration(call.project)
    if found.version is None:
        raise ApiError("BadRequestIterationIsNotTrained", "The iteration is not trained.")
    return found


def sent_picture(call: ApiRequest, most_bytes: int) -> UploadedPart:
    """Return the picture of a body, counted. Raises ApiError or QuotaReached."""
    megapixels = 0.0
    try:
        part = call.images(most_bytes, most_parts=1)[0]
        if len(part.data) > most_bytes:
            raise body_too_large(most_bytes)
        megapixels = cost.megapixels(part.data)
    finally:  # a body without a valid picture counts as well
        uploads.count_upload(call.user, megapixels=megapixels)
    return part


def fetched_picture(call: ApiRequest, most_bytes: int) -> UploadedPart:
    """Return the picture that a body gives the address of, counted. Raises as `sent_picture`."""
    # Before the download, which costs more than an upload; its size is known only afterwards
    uploads.count_upload(call.user)
    url = call.picture_address()
    try:
        part = UploadedPart(fetching.fetch_url(url, most_bytes=most_bytes), url.rpartition("/")[2])
    except fetching.ResponseTooLarge as error:
        raise body_too_large(most_bytes) from error
    except fetching.FetchRefused as error:
        raise ApiError("BadRequestImageUrl", str(error)) from error
    quotas.count_work(call.user, megapixels=cost.megapixels(part.data))
    return part


def _answer(call: ApiRequest, iteration: Iteration, part: UploadedPart, *, store: bool) -> Reply:
    """Classify a picture with an iteration; with `store` keep picture and prediction."""
    projects.refuse_archived(call.project)
    application = call.text("application")
    if len(application) > MAX_APPLICATION:
        raise ApiError(
            "BadRequestPredictionInvalidApplicationName", "The application name is too long."
        )
    version = iteration.version
    assert version is not None  # noqa: S101 (what is published or tested has one)
    version.project = call.project
    try:
        picture = images.decode_upload(
            part.data,
            most_bytes=max(settings.UPLOAD_MAX_BYTES, MAX_BYTES_QUICK_TEST),
            least_side=classification.min_side(call.project, version),
            sender=call.user.pk,
        )
    except InvalidPicture as error:
        raise bad_image_format(call.id.hex) from error
    answer = classification.predict_with(call.project, [picture], version=version)
    created = timezone.now()
    if store:
        created = _store(call, answer, picture, part, application)
    # `tagType` came with 3.1 of the Prediction API, and with 3.3 of the Training API
    with_type = call.version >= ((3, 1) if "publishedName" in call.path else (3, 3))
    ids = responses.tag_ids(version)
    return Reply(
        {
            "id": str(call.id),
            "project": str(call.project.uuid),
            "iteration": str(iteration.uuid),
            "created": responses.format_moment(created),
            "predictions": responses.scores(answer.scores[0].items(), ids, with_type=with_type),
        }
    )


def _store(
    call: ApiRequest,
    answer: classification.BatchAnswer,
    picture: Picture,
    part: UploadedPart,
    application: str,
) -> Any:
    """Keep picture and prediction, under the id in the response; return when it was made."""
    name = uploads.display_name(part.file_name.strip('"'))
    with uploads.kept(call.project, picture, by=call.user) as (sample, _is_new):
        prediction = classification.record_predictions(
            call.project, [(sample, picture, name)], answer, by=call.user
        )[0]
        prediction.uuid = call.id
        prediction.save(update_fields=["uuid"])
        StoredPrediction.objects.create(prediction=prediction, application=application)
    return prediction.created_at

"""The interface of exported containers: edge devices that asked one change only the address.

A container of Custom Vision answers `/image` and `/url`, and the same below `/<project>/` and
`/<project>/classify/iterations/<name>/`, with and without `/nostore`; it knows no keys, ignores
project and name, and keeps nothing (app.py and predict.py of the export for Docker). Here it is off
unless `CONTAINER_PROJECT` names the project whose live model answers. A request brings an API token
as `Prediction-Key`, unless `CONTAINER_USER` names the account in whose name, and on whose quota,
requests without one are answered.
"""

from collections.abc import Callable
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from accounts import roles
from accounts.models import User
from common.media import images
from common.media.images import InvalidPicture
from customvision.api import errors, prediction_endpoints
from customvision.api.api_request import ApiRequest
from customvision.api.dispatch import respond, sent_key, user_of_key
from customvision.api.errors import ApiError
from customvision.api.request_bodies import UploadedPart
from customvision.api.routing import Reply
from predictions import classification, project_access, registry
from predictions.models import Project

MAX_BYTES = prediction_endpoints.MAX_BYTES  # as MAX_CONTENT_LENGTH of app.py
DECIMALS = 8

ReadPicture = Callable[[ApiRequest, int], UploadedPart]


# Exempt from CSRF protection: cookies are ignored, so no other site can call in a user's name
@csrf_exempt
def classify_image(request: HttpRequest) -> HttpResponse:
    """Classify the picture of a body, multipart or not."""
    return _guarded(request, prediction_endpoints.sent_picture)


@csrf_exempt
def classify_url(request: HttpRequest) -> HttpResponse:
    """Classify the picture at the address in a body."""
    return _guarded(request, prediction_endpoints.fetched_picture)


def _guarded(request: HttpRequest, read: ReadPicture) -> HttpResponse:
    if not settings.CONTAINER_PROJECT:
        raise Http404
    return _posted(request, read)


@require_POST
def _posted(request: HttpRequest, read: ReadPicture) -> HttpResponse:
    return respond(lambda id_: _answer(request, read, id_))


def _answer(request: HttpRequest, read: ReadPicture, id_: UUID) -> Reply:
    user = _user(request)
    project = Project.objects.filter(slug=settings.CONTAINER_PROJECT).first()
    if project and project_access.is_hidden(user, project):
        project = None
    if project and not project_access.may(user, roles.CLASSIFY, project):
        raise ApiError(
            "ForbiddenUserInsufficientCapability", "The role of this account does not allow this."
        )
    if project is None:
        raise ApiError("NotFoundProject", "CONTAINER_PROJECT names a project that is not there.")
    if project.modality != Project.Modality.IMAGE:
        raise ApiError("NotFoundProject", "CONTAINER_PROJECT names a project of texts.")
    # Whatever type a body says it is: app.py does not ask, and devices say `image/jpeg`
    call = ApiRequest(request, (3, 1), user, {}, id_, takes_any_type=True)
    part = read(call, MAX_BYTES)
    version = registry.require_live_version(project)
    try:
        picture = images.decode_upload(
            part.data,
            most_bytes=MAX_BYTES,
            least_side=classification.min_side(project, version),
            sender=user.pk,
        )
    except InvalidPicture as error:
        raise errors.bad_image_format(id_.hex) from error
    answer = classification.predict_live(project, [picture], version)
    predictions = [
        {
            "boundingBox": None,
            "probability": round(probability, DECIMALS),
            "tagId": "",
            "tagName": name,
        }
        for name, probability in answer.scores[0].items()
    ]
    created = timezone.now().replace(tzinfo=None).isoformat()  # UTC, as `utcnow` of the container
    return Reply(
        {"created": created, "id": "", "iteration": "", "predictions": predictions, "project": ""}
    )


def _user(request: HttpRequest) -> User:
    """Return in whose name a request is answered. Raises GatewayError or ApiError."""
    key = sent_key(request, "prediction")
    if key or not settings.CONTAINER_USER:
        user: User | None = user_of_key(key)
    else:
        user = User.objects.filter(username=settings.CONTAINER_USER, is_active=True).first()
    if user is None:
        raise errors.wrong_key()
    return user

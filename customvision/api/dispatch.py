"""The entry point of the Custom Vision compatible server: key, operation, permission, response."""

import json
import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import translation
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.throttling import UserRateThrottle

from accounts.authentication import ApiTokenAuthentication
from accounts.models import User
from common.errors import Conflict, DomainError, QuotaReached, Unavailable
from customvision.api import (
    errors,
    exports,
    images,
    iterations,
    prediction_endpoints,
    projects,
    stored_predictions,
    suggestions,
    tags,
    unsupported,
)
from customvision.api.api_request import ApiRequest
from customvision.api.errors import ApiError, GatewayError
from customvision.api.routing import VERSIONS, Reply, find_operation
from predictions import project_access

logger = logging.getLogger(__name__)

# Each registers its operations when it is imported
OPERATION_MODULES = (
    projects,
    tags,
    images,
    iterations,
    exports,
    prediction_endpoints,
    stored_predictions,
    suggestions,
    unsupported,
)
_KEYS = {"training": "Training-Key", "prediction": "Prediction-Key"}
_ANY_KEY = "Ocp-Apim-Subscription-Key"


@csrf_exempt
def dispatch(request: HttpRequest, version: str, area: str, path: str) -> HttpResponse:
    """Answer one call. Whatever happens, the response is JSON in a form that clients know.

    Exempt from CSRF protection: keys come in headers of their own and cookies are ignored, so no
    other site can call in a user's name.
    """
    return respond(lambda id_: _answer(request, version, area.lower(), path, id_))


def respond(answer: Callable[[UUID], Reply]) -> HttpResponse:
    """Return an answer, or the error that it raises in a form that clients know."""
    id_ = uuid4()
    # Messages are in English whatever the browser or the user prefers: programs compare them
    with translation.override("en"):
        try:
            reply = answer(id_)
        except GatewayError as fault:
            response = _json(fault.body, fault.status)
            if fault.reason:
                response.reason_phrase = fault.reason
            if fault.retry_after_seconds is not None:
                response["Retry-After"] = str(fault.retry_after_seconds)
        except ApiError as fault:
            response = _json(fault.body, fault.status)
        except Exception as error:
            response = _refusal(error)
        else:
            response = _json(reply.body, reply.status)
    response["apim-request-id"] = response["Request-Id"] = str(id_)
    return response


def _answer(request: HttpRequest, version: str, area: str, path: str, id_: Any) -> Reply:
    if area not in VERSIONS:
        raise errors.no_such_resource()
    user = user_of_key(sent_key(request, area))
    if area == "training":  # predictions are counted more strictly, by `quotas`
        throttle = UserRateThrottle()
        request.user = user  # the throttle counts by the request's user
        if not throttle.allow_request(request, None):  # type: ignore[arg-type]
            raise _too_many(int(throttle.wait() or 0) + 1)
    number = VERSIONS[area].get(version.lower())
    found = find_operation(area, number, request.method or "", path) if number else None
    if number is None or found is None:
        raise errors.no_such_resource()
    operation, parts = found
    _enter_project(user, parts)
    # The list of projects has those in which the owner may do it
    is_list = request.method == "GET" and "projectId" not in parts
    may_do = project_access.may_somewhere if is_list else User.has_perm
    if not may_do(user, operation.permission):
        raise ApiError(
            "ForbiddenUserInsufficientCapability",
            "The role of this key's owner does not allow this.",
        )
    call = ApiRequest(request, number, user, parts, id_)
    if area == "training" and "projectId" in parts:
        _ = call.project  # an unknown project is reported before anything else that is wrong
    return operation.handler(call)


def _enter_project(user: User, parts: dict[str, str]) -> None:
    """Let the owner of a key have the rights that they have in the project of the path.

    Raises:
        ApiError: if it is a private one that they may not see, as if there were none.
    """
    try:
        uuid = UUID(parts["projectId"])
    except (KeyError, ValueError):
        return  # of no project, or reported by the operation
    try:
        project_access.enter_by(user, uuid=uuid)
    except Http404 as error:
        raise ApiError("NotFoundProject", "Invalid project") from error


def sent_key(request: HttpRequest, area: str) -> str:
    """Return the key that a request brings for an area, "" without one."""
    return (request.headers.get(_KEYS[area]) or request.headers.get(_ANY_KEY) or "").strip()


def user_of_key(key: str) -> User:
    """Return the owner of an API token. Raises GatewayError."""
    try:
        user, _token = ApiTokenAuthentication().authenticate_credentials(key.encode())
    except (AuthenticationFailed, UnicodeEncodeError) as error:
        raise errors.wrong_key() from error
    return user


def _too_many(seconds: int) -> GatewayError:
    unit = "second" if seconds == 1 else "seconds"
    message = f"Requests have exceeded the rate limit. Please retry after {seconds} {unit}."
    return GatewayError(429, message, retry_after_seconds=seconds)


def _refusal(error: Exception) -> HttpResponse:
    """Return the response to an error of the domain, or to one that nobody foresaw."""
    match error:
        case QuotaReached():
            fault = _too_many(error.retry_after_seconds or 1)
            fault.message = f"{error} {fault.message}"
            response = _json(fault.body, 429)
            response["Retry-After"] = str(fault.retry_after_seconds)
            return response
        case Unavailable():
            response = _json(
                {"code": "ErrorPredictionServiceUnavailable", "message": str(error)}, 503
            )
            if error.retry_after_seconds:
                response["Retry-After"] = str(error.retry_after_seconds)
            return response
        case Conflict():
            return _json({"code": "Conflict", "message": str(error)}, 409)
        case DomainError():
            code, status = (
                ("BadRequest", 400) if error.status < 500 else ("ErrorPrediction", error.status)
            )
            return _json({"code": code, "message": str(error)}, status)
        case OperationalError() | InterfaceError():
            return _json(
                {"code": "ErrorUnknown", "message": "The database does not answer now."}, 503
            )
        case _:
            logger.error("A call of the Custom Vision API broke", exc_info=error)
            return _json({"code": "ErrorUnknown", "message": "An unexpected error happened."}, 500)


def _json(body: Any, status: int) -> HttpResponse:
    if body is None:
        response = HttpResponse(status=status)
        del response["Content-Type"]  # of nothing
    else:
        response = HttpResponse(json.dumps(body, ensure_ascii=False), status=status)
        response["Content-Type"] = "application/json; charset=utf-8"
    response["Cache-Control"] = "no-store"
    return response

"""The API's addresses, its one form of error and its description."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.urls import include, path
from django.utils.translation import gettext as _
from drf_spectacular.views import SpectacularAPIView
from rest_framework import exceptions
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import set_rollback

from classifr.api_page import api_console
from common.errors import DomainError
from predictions import api as predictions_api
from training import api as training_api

app_name = "api"


urlpatterns = [
    path("", include(predictions_api.urlpatterns)),
    path("", include(training_api.urlpatterns)),
    # Open to all, so nobody is refused for a token that has ended
    path(
        "schema/",
        SpectacularAPIView.as_view(authentication_classes=[], permission_classes=[AllowAny]),
        name="schema",
    ),
    path("schema/ui/", api_console, name="try"),
]


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Render each error that a caller can act on as {"code", "message", "fields"}; not bugs."""
    match error:
        case DomainError():
            answer = _answer(error.status, error.code, str(error), error.fields)
            wait = error.retry_after_seconds
        case exceptions.APIException():
            answer, wait = _of_rest_framework(error), getattr(error, "wait", None)
        case Http404():
            answer, wait = (
                _answer(404, "not_found", _("Not found, or you may not access it.")),
                None,
            )
        case PermissionDenied():
            answer, wait = (
                _answer(403, "permission_denied", _("Your role does not allow this.")),
                None,
            )
        case RequestDataTooBig():
            answer, wait = _answer(413, "too_large", _("This request is too large.")), None
        case SuspiciousOperation():
            answer, wait = _answer(400, "invalid", _("This request cannot be understood.")), None
        case OperationalError() | InterfaceError():
            answer, wait = (
                _answer(
                    503, "unavailable", _("The database does not answer now. Please try again.")
                ),
                None,
            )
        case _:
            return None
    # At least a second: with 0, a client would come back at once.
    if wait is not None:
        answer["Retry-After"] = str(max(1, int(wait)))
    set_rollback()  # as the framework's own handler does: what failed leaves nothing behind
    return answer


def _answer(
    status: int, code: str, message: str, fields: Mapping[str, Any] | None = None
) -> Response:
    return Response({"code": code, "message": message, "fields": fields or {}}, status=status)


def _of_rest_framework(error: exceptions.APIException) -> Response:
    fields: dict[str, list[str]] = {}
    if isinstance(error.detail, dict):
        fields = {str(name): _sentences(detail) for name, detail in error.detail.items()}
    sentences = [sentence for each in fields.values() for sentence in each] or _sentences(
        error.detail
    )
    code = "invalid" if isinstance(error, exceptions.ValidationError) else error.default_code
    answer = _answer(error.status_code, code, " ".join(sentences), fields)
    if header := getattr(error, "auth_header", None):
        answer["WWW-Authenticate"] = header
    return answer


def _sentences(detail: Any) -> list[str]:
    """Return the sentences in whatever shape of detail the framework made."""
    if isinstance(detail, dict):
        return [sentence for each in detail.values() for sentence in _sentences(each)]
    if isinstance(detail, list):
        return [sentence for each in detail for sentence in _sentences(each)]
    return [str(detail)]

"""Turns domain errors and ended log-ins into answers for people and for htmx requests."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from csp.constants import HEADER
from csp.utils import build_policy
from django.conf import settings
from django.core.signals import setting_changed
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url
from django.urls import get_script_prefix

from common import logs
from common.errors import DomainError
from common.htmx import HtmxRequest

REAUTHENTICATION_PAGES = ("account_reauthenticate", "mfa_reauthenticate")
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        *("accelerometer", "autoplay", "browsing-topics", "camera", "display-capture"),
        *("encrypted-media", "geolocation", "gyroscope", "magnetometer", "microphone", "midi"),
        *("payment", "publickey-credentials-get", "screen-wake-lock", "usb", "xr-spatial-tracking"),
    )
)

Answer = Callable[[HttpRequest], HttpResponse]


class RequestIdMiddleware:
    """Give each request an id, the client's or proxy's own if it can be one, for the log."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if logs.SANE_ID.fullmatch(given) else uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]
        with logs.working_for(request_id):
            response = self.get_response(request)
        response.headers["X-Request-ID"] = request_id
        return response


class ContentSecurityPolicyMiddleware:
    """Say with each answer what a browser may load for it, unless the answer says so itself.

    Our pages need no nonce, so the policy is the same each time. django-csp's own middleware puts
    it together anew for every answer.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response
        self.policy = build_policy()
        setting_changed.connect(self._build_again)

    def _build_again(self, *, setting: str, **kwargs: Any) -> None:
        if setting == "CONTENT_SECURITY_POLICY":
            self.policy = build_policy()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        # Django's own pages for developers have scripts.
        if not (settings.DEBUG and response.status_code in {404, 500}):
            response.headers.setdefault(HEADER, self.policy)
            # Pictures come from a file field, also those that a phone takes for it
            response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        return response


class HtmxLoginMiddleware:
    """Send the whole page to the log-in or to the question for the password, never a part."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HtmxRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.htmx or response.status_code != 302:
            return response
        page = urlsplit(response["Location"]).path
        if page not in map(resolve_url, (settings.LOGIN_URL, *REAUTHENTICATION_PAGES)):
            return response
        # Of the page, not of the part that was asked for; the path alone, so that it leads nowhere
        # else.
        here = urlsplit(request.headers.get("HX-Current-URL", "")).path or get_script_prefix()
        return HttpResponse(
            status=204, headers={"HX-Redirect": f"{page}?{urlencode({'next': here})}"}
        )


class DomainErrorMiddleware:
    """Render any DomainError that a page raises, with its own status, never 500."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HtmxRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, DomainError):
            return None
        template = "_error.html" if request.htmx else "error.html"
        response = render(request, template, {"error": exception}, status=exception.status)
        if exception.retry_after_seconds is not None:
            response["Retry-After"] = str(exception.retry_after_seconds)
        return response

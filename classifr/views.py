"""The start page, the help page, the drawings of the demo and the pages for what went wrong."""

import sys
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db import InterfaceError, OperationalError
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotModified,
    JsonResponse,
)
from django.shortcuts import get_object_or_404, render
from django.template import loader
from django.templatetags.static import static
from django.urls import get_script_prefix
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from django_htmx.middleware import HtmxDetails

from accounts.permissions import authenticated_user
from classifr import demo_drawings
from common.media import upload_handlers
from predictions import project_access, projects
from predictions.models import Sample
from predictions.views import pictures


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Show the projects, each with the model that answers; the archived ones when asked for."""
    is_archive = request.GET.get("archived") == "1"
    visible = project_access.visible_projects(authenticated_user(request))
    context = {
        "projects": projects.projects_with_live_version(archived=is_archive, among=visible),
        "is_archive": is_archive,
        "archived_count": visible.filter(archived_at__isnull=False).count(),
    }
    return render(request, "home.html", context)


@login_required
def help_page(request: HttpRequest) -> HttpResponse:
    """Explain the loop: to users, reviewers and maintainers."""
    return render(
        request,
        "help.html",
        {
            "formats": settings.UPLOAD_FORMATS,
            "max_megabytes": f"{settings.UPLOAD_MAX_BYTES / 1_000_000:g}",
        },
    )


@login_required
@require_safe
def demo_drawing(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Serve what pages show in place of a photo that the demo learned from."""
    sample = get_object_or_404(Sample, uuid=uuid)
    if not sample.is_drawn or not pictures.can_view_picture(authenticated_user(request), sample):
        raise Http404
    tag = f'"{sample.uuid}-drawing"'
    if request.headers.get("If-None-Match") == tag:
        return HttpResponseNotModified()
    drawing = demo_drawings.draw_sample(sample.sha256).encode()
    return pictures.inert_response(drawing, "image/svg+xml", tag, sample)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _problem(
        request, 404, "not_found", _("Not found. It may have been deleted, or you may not see it.")
    )


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _problem(
        request,
        403,
        "forbidden",
        _("Your role does not allow this. Ask a maintainer if you need it."),
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if refusal := upload_handlers.rejection_message(exception):
        if _wants_part(request):
            return _part(request, 400, refusal.code, str(refusal))
        return render(request, "error.html", {"error": refusal}, status=400)
    return _problem(
        request,
        400,
        "invalid",
        _("That request cannot be understood. Reload the page and try again."),
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    message = _("This form is out of date. Reload the page and send it again.")
    return _problem(request, 403, "csrf_failed", message, template="403_csrf.html")


def server_error(request: HttpRequest) -> HttpResponse:
    """Say so without the database, the session or a context processor: any may be what broke."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        status, code = 503, "unavailable"
        message = _("The database does not answer. Nothing was lost; please try again in a minute.")
    else:
        status, code = 500, "broken"
        message = _(
            "Something went wrong on our side. The error was logged. Please try again in "
            "a few minutes."
        )
    if _wants_part(request):
        return _part(request, status, code, message)
    try:
        stylesheets = [static("bootstrap/css/bootstrap.min.css"), static("css/classifr.css")]
    except ValueError:  # the static files were not collected
        stylesheets = []
    page = loader.get_template("500.html").render(
        {"message": message, "stylesheets": stylesheets, "home": get_script_prefix()}
    )
    return HttpResponse(page, status=status)


def _problem(
    request: HttpRequest, status: int, code: str, message: str, *, template: str = ""
) -> HttpResponse:
    """Render a problem as a page, as a part of one for htmx, or as JSON for the API."""
    if _wants_part(request):
        return _part(request, status, code, message)
    return render(request, template or f"{status}.html", status=status)


def _wants_part(request: HttpRequest) -> bool:
    # Not `request.htmx`: what fails before that middleware is answered here, too.
    return request.path_info.startswith("/api/") or bool(HtmxDetails(request))


def _part(request: HttpRequest, status: int, code: str, message: str) -> HttpResponse:
    if request.path_info.startswith("/api/"):
        return JsonResponse({"code": code, "message": message, "fields": {}}, status=status)
    part = loader.get_template("_error.html").render({"error": {"message": message}})
    return HttpResponse(part, status=status)

"""Pictures for those who may see them: a fixed type, never active content, never a shared cache."""

import logging
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotModified,
    HttpResponseRedirect,
)
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts import roles
from accounts.models import User
from accounts.permissions import authenticated_user
from common.errors import Unavailable
from common.media import images
from common.media.content import EXTENSIONS
from predictions.models import Sample

logger = logging.getLogger(__name__)

SAFE_TYPES = ("image/jpeg", "image/png", "image/webp", "text/plain")
SECONDS_IN_BROWSER = 3600
THUMBNAIL_SIDE = 320
# A picture opened by itself runs nothing and is framed by nobody.
POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"


@login_required
@require_safe
def picture(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Serve a sample's picture as it is stored, or lead to the storage by a short-lived link."""
    sample = _visible(request, uuid)
    tag = f'"{sample.uuid}"'
    if request.headers.get("If-None-Match") == tag:
        return HttpResponseNotModified()
    media_type = (
        sample.media_type if sample.media_type in SAFE_TYPES else "application/octet-stream"
    )
    storage: Any = sample.storage
    if settings.AZURE_STORAGE_LINKS and hasattr(storage, "signed_url"):
        name = _file_name(sample, media_type)
        try:
            link = storage.signed_url(sample.file_name, media_type=media_type, file_name=name)
        except OSError as error:
            raise _unavailable() from error
        response = HttpResponseRedirect(link)
        # A cached redirect would outlive the link that it leads to.
        response["Cache-Control"] = "private, no-store"
        return response
    data = read_or_404(sample)
    if media_type == "text/plain":
        media_type += "; charset=utf-8"
    return inert_response(data, media_type, tag, sample)


@login_required
@require_safe
def thumbnail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Serve a small JPEG of a sample's picture."""
    sample = _visible(request, uuid)
    if not sample.is_picture:
        raise Http404
    tag = f'"{sample.uuid}-{THUMBNAIL_SIDE}"'
    if request.headers.get("If-None-Match") == tag:
        return HttpResponseNotModified()
    return inert_response(thumbnail_bytes(sample, THUMBNAIL_SIDE), "image/jpeg", tag, sample)


def can_view_picture(user: User, sample: Sample) -> bool:
    """Say whether a user asked about this picture, or may see all of its project."""
    return user.has_perm(roles.VIEW_SAMPLES) or sample.predictions.filter(user=user).exists()


def _visible(request: HttpRequest, uuid: UUID) -> Sample:
    sample = get_object_or_404(Sample, uuid=uuid)
    # 404 rather than 403: whether a picture exists is nobody else's business.
    if not can_view_picture(authenticated_user(request), sample) or not sample.has_picture:
        raise Http404
    return sample


def read_or_404(sample: Sample) -> bytes:
    """Return a stored picture; Http404 if its file is gone. Raises Unavailable."""
    try:
        return sample.read()
    except FileNotFoundError as error:
        raise Http404 from error
    except Exception as error:  # every storage raises its SDK's own errors
        raise _unavailable() from error


def thumbnail_bytes(sample: Sample, side: int) -> bytes:
    """Return a stored picture as a small JPEG; Http404 if it is damaged, as `read_or_404` else."""
    data = read_or_404(sample)
    try:
        return images.make_thumbnail(data, side)
    except OSError as error:
        logger.error("The stored picture %s is damaged: %s", sample.file_name, error)
        raise Http404 from error


def _unavailable() -> Unavailable:
    return Unavailable(_("The picture storage does not answer. Please try again in a moment."))


def _file_name(sample: Sample, media_type: str) -> str:
    return f"{sample.uuid}.{EXTENSIONS.get(media_type.partition(';')[0], 'bin')}"


def inert_response(data: bytes, media_type: str, tag: str, sample: Sample) -> HttpResponse:
    """Answer with bytes that no browser will run, whatever they may be."""
    response = HttpResponse(data, content_type=media_type)
    response["Content-Security-Policy"] = POLICY
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Disposition"] = f'inline; filename="{_file_name(sample, media_type)}"'
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["Cache-Control"] = f"private, max-age={SECONDS_IN_BROWSER}"
    response["ETag"] = tag  # from the id alone: what is stored under it never changes
    return response

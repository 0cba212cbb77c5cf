"""Addresses of pictures that need no key and end after a day, as Custom Vision hands them out; and
serving them.
"""

from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from predictions.models import Sample
from predictions.views import pictures

SALT = "customvision.api.picture_links"
SECONDS = 24 * 3600
_SIDES = {"original": 0, "resized": 1024, "thumbnail": 256}


def signed_urls(request: HttpRequest, sample: Sample) -> dict[str, str]:
    """Return the three addresses of a sample's picture."""
    return {
        f"{kind}{'' if kind == 'thumbnail' else 'Image'}Uri": _address(request, sample, kind)
        for kind in _SIDES
    }


@require_safe
def serve_picture(request: HttpRequest, token: str) -> HttpResponse:
    """Serve a picture to whoever has a signed address of it that has not ended."""
    try:
        kind, uuid = signing.TimestampSigner(salt=SALT).unsign(token, max_age=SECONDS).split(".")
    except (signing.BadSignature, ValueError) as error:
        raise Http404 from error
    sample = Sample.objects.with_picture().filter(uuid=uuid).first()
    if sample is None:
        raise Http404
    if side := _SIDES[kind]:
        return pictures.inert_response(
            pictures.thumbnail_bytes(sample, side), "image/jpeg", f'"{uuid}-{side}"', sample
        )
    return pictures.inert_response(
        pictures.read_or_404(sample), sample.media_type, f'"{uuid}"', sample
    )


def _address(request: HttpRequest, sample: Sample, kind: str) -> str:
    token = signing.TimestampSigner(salt=SALT).sign(f"{kind}.{sample.uuid}")
    return request.build_absolute_uri(reverse("customvision:picture", args=[token]))

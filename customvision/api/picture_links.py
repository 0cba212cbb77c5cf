"""Signed URLs of pictures: like those of Custom Vision they need no key and expire after a day."""

from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from predictions.models import Sample
from predictions.views import pictures

SALT = "customvision.api.picture_links"
SECONDS = 24 * 3600
# Pixels of the longer side, 0 for the picture as it is stored
_SIDES = {"original": 0, "resized": 1024, "thumbnail": 256}


def signed_urls(request: HttpRequest, sample: Sample) -> dict[str, str]:
    """Return the URLs of a sample's picture, by the members that the specification gives them."""
    signer = signing.TimestampSigner(salt=SALT)
    urls = {}
    for kind in _SIDES:
        token = signer.sign(f"{kind}.{sample.uuid}")
        # The specification: originalImageUri, resizedImageUri, but thumbnailUri
        member = f"{kind}Uri" if kind == "thumbnail" else f"{kind}ImageUri"
        urls[member] = request.build_absolute_uri(reverse("customvision:picture", args=[token]))
    return urls


@require_safe
def serve_picture(request: HttpRequest, token: str) -> HttpResponse:
    """Serve a picture to whoever has a signed URL of it that has not expired."""
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

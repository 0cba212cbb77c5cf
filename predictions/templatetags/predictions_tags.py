"""Numbers and limits as people read them, in their language."""

from copy import copy
from typing import Any

from babel import Locale
from django import template
from django.conf import settings
from django.template.defaultfilters import floatformat
from django.utils.translation import get_language, to_locale

register = template.Library()

SHOWN_SCORES = 6  # the rest of a long list can be unfolded
_FILE_TYPES = {
    "JPEG": ("JPEG", ".jpg,.jpeg,image/jpeg"),
    "PNG": ("PNG", ".png,image/png"),
    "WEBP": ("WebP", ".webp,image/webp"),
    "BMP": ("BMP", ".bmp,image/bmp"),
    "GIF": ("GIF", ".gif,image/gif"),
    "HEIC": ("HEIC", ".heic,.heif,image/heic,image/heif"),
}


@register.filter
def percent(probability: float) -> str:
    """Return a probability as a percentage with one decimal, as the language writes it."""
    locale = Locale.parse(to_locale(get_language() or "en"))
    # A copy, as Babel keeps one pattern for each language and everybody.
    pattern = copy(locale.percent_formats[None])
    pattern.frac_prec = (1, 1)
    return pattern.apply(probability, locale)


@register.simple_tag
def upload_limits() -> dict[str, Any]:
    """Return what may be uploaded, and how much: to read, and for the button that picks files."""
    known = [_FILE_TYPES.get(name, (name, "")) for name in settings.UPLOAD_FORMATS]
    return {
        "formats": ", ".join(name for name, _types in known),
        "types": ",".join(types for _name, types in known if types),
        "bytes": settings.UPLOAD_MAX_BYTES,
        "megabytes": floatformat(settings.UPLOAD_MAX_BYTES / 1_000_000, -1),
        "files": settings.UPLOAD_BATCH_MAX_FILES,
    }


@register.filter
def first_scores(ranked: list[tuple[str, float]]) -> list[tuple[str, float]]:
    return ranked[: _shown(ranked)]


@register.filter
def further_scores(ranked: list[tuple[str, float]]) -> list[tuple[str, float]]:
    return ranked[_shown(ranked) :]


def _shown(ranked: list[tuple[str, float]]) -> int:
    """Return how many are shown at once."""
    # One that is left over takes no more room than the words that would hide it.
    return SHOWN_SCORES if len(ranked) > SHOWN_SCORES + 1 else len(ranked)

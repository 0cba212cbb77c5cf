"""Numbers, limits and samples as people see them, in their language."""

import logging
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from babel import Locale
from django import template
from django.conf import settings
from django.template.defaultfilters import floatformat
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import get_language, to_locale
from django.utils.translation import gettext as _

from common.media import texts
from predictions import conditions, explanations
from predictions.modalities import TEXTS, modalities, modality_of_type
from predictions.models import Project, Sample
from predictions.predictors.text.occlusion import parts_of

register = template.Library()
logger = logging.getLogger(__name__)

SHOWN_SCORES = 6  # the rest of a long list can be unfolded
LEAST_SHARE = 0.1  # of the strongest word's evidence, from which a word is marked
STRONGEST = 5  # words that are listed
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


@register.filter
def condition_name(name: str) -> str:
    """Write the name of a capture condition; one that was given stays as it is."""
    known = {
        conditions.CAMERA: _("Camera"),
        conditions.HOUR: _("Hour of the day"),
        "day": _("Day"),
    }
    return known.get(name, name)


@register.simple_tag
def upload_limits() -> dict[str, Any]:
    """Return what may be uploaded, and how much: to read, and for the button that picks files."""
    known = [_FILE_TYPES.get(name, (name, "")) for name in settings.UPLOAD_FORMATS]
    return {
        "formats": ", ".join(name for name, _types in known),
        "types": ",".join(types for _name, types in known if types),
        "bytes": settings.UPLOAD_MAX_BYTES,
        "megabytes": floatformat(settings.UPLOAD_MAX_BYTES / 1_000_000, -1),
        "reduce_above": min(
            settings.UPLOAD_REDUCE_ABOVE_BYTES or settings.UPLOAD_MAX_BYTES,
            settings.UPLOAD_MAX_BYTES,
        ),
    }


@register.simple_tag
def dataset_limit() -> int:
    """Return how many bytes a data set may have that is sent on a page."""
    return int(settings.IMPORT_MAX_BYTES)


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


@register.filter
def sentence(project: Project, name: str) -> str:
    """Return what pages say of a sample of this project, see `modalities.base.Sentences`."""
    return str(getattr(modalities[project.modality].sentences, name))


@register.simple_tag(takes_context=True)
def show_sample(
    context: template.Context, sample: Sample, place: str, title: str = ""
) -> SafeString:
    """Show what a sample is, as its kind is shown in this place: `_preview`, `_review` ..."""
    shown: dict[str, Any] = {"sample": sample, "title": title}
    if sample.is_drawn:
        return render_to_string("predictions/image/_drawn.html", shown | {"place": place})
    modality = modality_of_type(sample.media_type)
    if modality is TEXTS:
        text = _read_text(context, sample)
        shown["text"] = None if text is None else texts.visible(text)
        shown["excerpt"] = texts.excerpt(text or "")
    return render_to_string(f"predictions/{modality.alias}/{place}.html", shown)


def _read_text(context: template.Context, sample: Sample) -> str | None:
    """Return a stored text, or None where it cannot be read now."""
    if context.render_context.get("text_storage_is_away"):
        return None
    try:
        return texts.decode_stored(sample.read())
    except FileNotFoundError:
        return None
    except Exception:  # every storage raises its SDK's own errors
        logger.warning("The text of sample %s cannot be read", sample.uuid, exc_info=True)
        # A page with many texts waits for a storage that does not answer once, not for each
        context.render_context["text_storage_is_away"] = True
        return None


@register.simple_tag
def describe_heat(heat: np.ndarray) -> str:
    return explanations.describe_location(heat)


@dataclass(frozen=True)
class MarkedPiece:
    """A part of a text: how much it spoke for an answer, in [0, 1], and as one of four steps."""

    text: str
    share: float = 0.0

    @property
    def strength(self) -> int:
        """Return 0 for hardly anything, up to 4."""
        return min(4, int(self.share * 4 + 0.75)) if self.share >= LEAST_SHARE else 0


@dataclass(frozen=True)
class MarkedText:
    pieces: list[MarkedPiece]

    @property
    def strongest(self) -> list[MarkedPiece]:
        """Return the pieces that spoke most, the strongest first."""
        said = [piece for piece in self.pieces if piece.strength]
        return sorted(said, key=lambda piece: -piece.share)[:STRONGEST]


@register.simple_tag(takes_context=True)
def marked_text(context: template.Context, sample: Sample, heat: np.ndarray) -> MarkedText:
    """Return a text in pieces, each with how much it spoke for an answer."""
    text = _read_text(context, sample) or ""
    pieces, reached = [], 0
    for (start, end), share in zip(parts_of(text), heat.tolist(), strict=False):
        pieces.append(MarkedPiece(texts.visible(text[reached:start])))
        pieces.append(MarkedPiece(texts.visible(text[start:end]), share))
        reached = end
    return MarkedText([*pieces, MarkedPiece(texts.visible(text[reached:]))])

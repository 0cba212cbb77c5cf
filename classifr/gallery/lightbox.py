"""One sample of the gallery, with all that is known of it, in a dozen queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.utils.translation import gettext as _

from classifr.gallery import pages
from classifr.gallery.filters import GalleryFilters
from classifr.gallery.pages import Tile
from predictions.models import CaptureCondition, Feedback, Prediction, Sample
from predictions.templatetags.predictions_tags import percent
from review.models import Decision
from training.models import NearDuplicate

MOST_EVENTS = 20  # of a kind
SCORES = 5


@dataclass(frozen=True)
class Event:
    """Something that happened to a sample, as a sentence."""

    moment: datetime
    sentence: str


@dataclass(frozen=True)
class SampleFacts:
    tile: Tile
    name: str
    scores: Sequence[tuple[str, float]]
    conditions: Sequence[CaptureCondition]
    duplicates: int
    events: Sequence[Event]


def describe_sample(sample: Sample, wanted: GalleryFilters) -> SampleFacts:
    """Return what the lightbox shows of a sample."""
    tile = pages.with_facts([sample], wanted)[0]
    named = sample.predictions.exclude(shown_name="").order_by("-pk")
    pairs = NearDuplicate.objects.filter(declared_apart=None)
    return SampleFacts(
        tile=tile,
        name=named.values_list("shown_name", flat=True).first() or "",
        scores=tile.answer.ranked[:SCORES] if tile.answer else (),
        conditions=list(sample.conditions.order_by("name")),
        duplicates=pairs.filter(Q(first=sample) | Q(second=sample)).count(),
        events=_events(sample),
    )


def _events(sample: Sample) -> list[Event]:
    """Return what happened to a sample, the newest first."""
    decided = sample.decisions.select_related("category", "reviewer").order_by("-pk")
    said = (
        Feedback.objects.filter(prediction__sample=sample)
        .select_related("user", "category")
        .order_by("-pk")
    )
    answered = sample.predictions.select_related("top", "model_version").order_by("-pk")
    found = [
        *(Event(each.created_at, _decision(each)) for each in decided[:MOST_EVENTS]),
        *(Event(each.created_at, _verdict(each)) for each in said[:MOST_EVENTS]),
        *(Event(each.created_at, _answer(each)) for each in answered[:MOST_EVENTS]),
    ]
    found.sort(key=lambda event: event.moment, reverse=True)
    return [*found, Event(sample.created_at, _("Came into the project"))]


def _decision(decision: Decision) -> str:
    words = {
        "name": decision.reviewer.username if decision.reviewer else _("An import"),
        "category": decision.category.name if decision.category else "",
    }
    match decision.outcome:
        case Decision.Outcome.DISCARDED:
            return _("%(name)s discarded it") % words
        case Decision.Outcome.REOPENED:
            return _("%(name)s reopened it") % words
        case Decision.Outcome.CONFIRMED:
            return _("%(name)s confirmed %(category)s") % words
        case _:
            return _("%(name)s labelled it %(category)s") % words


def _verdict(feedback: Feedback) -> str:
    suggested = feedback.category.name if feedback.category else feedback.suggestion
    words = {
        "name": feedback.user.username,
        "verdict": feedback.get_verdict_display(),
        "category": suggested,
    }
    if suggested:
        return _("%(name)s said %(verdict)s, %(category)s") % words
    return _("%(name)s said %(verdict)s") % words


def _answer(answer: Prediction) -> str:
    return _("Version %(number)d said %(category)s, %(share)s") % {
        "number": answer.model_version.number,
        "category": answer.top.name if answer.top else answer.ranked[0][0],
        "share": percent(answer.confidence),
    }

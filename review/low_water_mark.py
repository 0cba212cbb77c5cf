"""Where the search for old NOKs may begin: below the mark all is decided, or has no picture.

It is neither queue nor counter, only a hint: a lower value is always right, and merely slower. It
is computed anew from time to time, which also corrects it for changes that nobody reports here (a
user who turns an old OK into a NOK waits that long), and lowered in the transaction that undoes a
decision. Verdicts of the last minutes stay above it, as a transaction that began before the look
may commit after it.
"""

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from predictions.models import Feedback, Prediction, Sample
from review.models import LowWaterMark

SETTLES_AFTER = timedelta(minutes=2)
LOOK_AGAIN_AFTER = timedelta(minutes=1)


def get_mark(verdict: str) -> int:
    """Return the id of the feedback up to which nothing waits."""
    return (
        LowWaterMark.objects.filter(verdict=verdict).values_list("feedback_id", flat=True).first()
        or 0
    )


def advance_mark(verdict: str, still_open: Q) -> None:
    """Compute the mark of a verdict anew; `still_open` selects predictions whose samples wait."""
    waiting = Prediction.objects.filter(still_open, feedback__verdict=verdict)
    oldest = waiting.order_by("feedback__pk").values_list("feedback__pk", flat=True).first()
    settled = Feedback.objects.filter(
        verdict=verdict, created_at__lt=timezone.now() - SETTLES_AFTER
    )
    # With nothing open everything that has settled lies below the mark
    newest = settled.order_by("-pk").values_list("pk", flat=True).first() or 0
    reached = newest if oldest is None else min(oldest - 1, newest)
    LowWaterMark.objects.update_or_create(
        verdict=verdict, defaults={"feedback_id": reached, "looked_at": timezone.now()}
    )


def is_stale(verdict: str) -> bool:
    return not LowWaterMark.objects.filter(
        verdict=verdict, looked_at__gt=timezone.now() - LOOK_AGAIN_AFTER
    ).exists()


def lower_marks_for(sample: Sample) -> None:
    """Have a sample's verdicts found again. Call it in the transaction that reopens the sample."""
    for pk, verdict in Feedback.objects.filter(prediction__sample=sample).values_list(
        "pk", "verdict"
    ):
        LowWaterMark.objects.filter(verdict=verdict, feedback_id__gte=pk).update(feedback_id=pk - 1)

"""Everything the review page shows of one sample, gathered in a handful of queries."""

from collections.abc import Sequence
from dataclasses import dataclass

from accounts.models import User
from predictions import categories
from predictions.models import Category, Feedback, Prediction, Sample
from review import queue
from review.models import Decision

# The keys without a meaning of their own; static/js/review.js has the other letters
KEYS = "1234567890abefhijlmopqrvwxyz"
MAX_BUTTONS = 60  # further categories are chosen by typing their name


@dataclass(frozen=True)
class CategoryButton:
    """A category's button and its key, "" if there are no more keys."""

    category: Category
    key: str
    is_suggested: bool


@dataclass(frozen=True)
class ReviewCard:
    sample: Sample
    reason: queue.Reason | None  # None: decided already
    prediction: Prediction | None
    feedback: Feedback | None
    choices: Sequence[CategoryButton]
    all_names: Sequence[str]
    verdicts: Sequence[Feedback]
    decisions: Sequence[Decision]
    first: Decision | None = None  # what a second opinion is about; not to be shown
    new_name: str = ""  # what the uploader says it is, if no category has that name yet

    @property
    def suggestion(self) -> str:
        """What the uploader says it is, whether there is such a category or not."""
        if self.feedback is None:
            return ""
        return self.feedback.category.name if self.feedback.category else self.feedback.suggestion


def build_card(sample: Sample, reviewer: User | None = None) -> ReviewCard:
    """Gather what a reviewer needs to decide about a sample, and its history.

    Args:
        reviewer: whose queue it is shown in. Where they are asked for a second opinion, they are
            not shown the first.
    """
    verdicts = list(
        Feedback.objects.filter(prediction__sample=sample)
        .select_related("category", "prediction__model_version", "prediction__top")
        .order_by("-pk")
    )
    # The prediction that somebody objected to is shown, or else the newest
    doubt = next((each for each in verdicts if each.verdict != Feedback.Verdict.OK), None)
    predictions = sample.predictions.select_related("model_version", "top").order_by("-pk")
    prediction = doubt.prediction if doubt else predictions.first()
    known = list(sample.project.categories.all())
    suggested = doubt.category if doubt else None
    # Words that named no category when they were typed may name one by now
    if doubt and doubt.suggestion:
        suggested = categories.find_category(sample.project, doubt.suggestion)
    reason = getattr(sample, "reason", None) or queue.review_reason(sample, reviewer=reviewer)
    past = list(sample.decisions.select_related("category", "reviewer").order_by("-pk"))
    is_second = reason == queue.Reason.SECOND_OPINION
    return ReviewCard(
        sample=sample,
        reason=reason,
        prediction=prediction,
        feedback=doubt,
        choices=category_buttons(known, suggested),
        all_names=[category.name for category in known],
        verdicts=verdicts,
        decisions=[] if is_second else past,
        first=past[0] if is_second else None,
        new_name=doubt.suggestion if doubt and not suggested else "",
    )


def category_buttons(
    known: Sequence[Category], suggested: Category | None = None
) -> list[CategoryButton]:
    """Return a button for each category, at most `MAX_BUTTONS` and the suggested one."""
    shown = [*known[:MAX_BUTTONS], *(each for each in known[MAX_BUTTONS:] if each == suggested)]
    return [
        CategoryButton(category, KEYS[place : place + 1], category == suggested)
        for place, category in enumerate(shown)
    ]

"""Everything the review page shows of one sample, gathered in a handful of queries."""

from collections.abc import Sequence
from dataclasses import dataclass

from predictions import categories
from predictions.models import Category, Feedback, Prediction, Project, Sample
from review import queue
from review.models import Decision

# what is left of the keyboard, see static/js/review.js for the other letters
KEYS = "1234567890abefhijlmopqrvwxyz"
MAX_BUTTONS = 60  # a project with more categories is served by typing the name


@dataclass(frozen=True)
class CategoryButton:
    """A category's button, with the key that presses it ("" when the keyboard has no more)."""

    category: Category
    key: str
    is_suggested: bool


@dataclass(frozen=True)
class ReviewCard:
    sample: Sample
    reason: queue.Reason | None  # None: nothing to do here, it was decided
    prediction: Prediction | None
    feedback: Feedback | None
    choices: Sequence[CategoryButton]
    all_names: Sequence[str]
    verdicts: Sequence[Feedback]
    decisions: Sequence[Decision]
    new_name: str = ""  # what the uploader says it is, where no category has that name yet

    @property
    def suggestion(self) -> str:
        """What the uploader says it is, whether there is such a category or not."""
        if self.feedback is None:
            return ""
        return self.feedback.category.name if self.feedback.category else self.feedback.suggestion


def build_card(sample: Sample) -> ReviewCard:
    """Gather what a reviewer needs to rule on a sample, and its history."""
    verdicts = list(
        Feedback.objects.filter(prediction__sample=sample)
        .select_related("category", "prediction__model_version", "prediction__top")
        .order_by("-pk")
    )
    doubt = next((each for each in verdicts if each.verdict != Feedback.Verdict.OK), None)
    prediction = doubt.prediction if doubt else _newest_prediction(sample)
    known = list(sample.project.categories.order_by("name"))
    suggested = _suggested(sample.project, doubt)
    return ReviewCard(
        sample=sample,
        reason=getattr(sample, "reason", None) or queue.review_reason(sample),
        prediction=prediction,
        feedback=doubt,
        choices=_choices(known, suggested),
        all_names=[category.name for category in known],
        verdicts=verdicts,
        decisions=list(sample.decisions.select_related("category", "reviewer").order_by("-pk")),
        new_name=doubt.suggestion if doubt and not suggested else "",
    )


def _choices(known: Sequence[Category], suggested: Category | None) -> list[CategoryButton]:
    """Return a button for each category; of very many for the first ones, and for the suggested one
    in any case.
    """
    shown = [*known[:MAX_BUTTONS], *(each for each in known[MAX_BUTTONS:] if each == suggested)]
    return [
        CategoryButton(category, KEYS[place : place + 1], category == suggested)
        for place, category in enumerate(shown)
    ]


def _suggested(project: Project, doubt: Feedback | None) -> Category | None:
    """Return the category that the uploader chose, or whose name they typed before there was such a
    category.
    """
    if doubt and doubt.suggestion:
        return categories.find_category(project, doubt.suggestion)
    return doubt.category if doubt else None


def _newest_prediction(sample: Sample) -> Prediction | None:
    return sample.predictions.select_related("model_version", "top").order_by("-pk").first()

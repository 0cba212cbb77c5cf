"""Everything the review page shows of samples, gathered in a handful of queries."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from accounts.models import User
from predictions import categories, category_keys
from predictions.models import Category, Feedback, Prediction, Project, Sample
from review import queue
from review.models import Decision

MAX_BUTTONS = 60  # further categories are chosen by typing their name


@dataclass(frozen=True)
class CategoryButton:
    """A category's button; `is_suggested` is what the user says, or else the model."""

    category: Category
    is_suggested: bool

    @property
    def key(self) -> str:
        """Return the category's own key, "" if it has none."""
        return self.category.key


@dataclass(frozen=True)
class Suggestion:
    """What is most likely, by a person's word or else the model's: one key accepts it."""

    name: str
    ruling: str  # what its button sends
    by_model: bool = False
    is_new: bool = False  # no category has this name yet


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
    suggestion: Suggestion | None
    first: Decision | None = None  # what a second opinion is about; not to be shown

    @property
    def said(self) -> str:
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
    return build_cards([sample], reviewer)[0]


def build_cards(samples: Sequence[Sample], reviewer: User | None = None) -> list[ReviewCard]:
    """Return the cards of several samples, as `build_card`, in their order."""
    keys = [sample.pk for sample in samples]
    verdicts: dict[int, list[Feedback]] = defaultdict(list)
    related = ("category", "prediction__model_version", "prediction__top", "prediction__project")
    told = Feedback.objects.filter(prediction__sample__in=keys).select_related(*related)
    for feedback in told.order_by("-pk"):
        verdicts[feedback.prediction.sample_id].append(feedback)
    decisions: dict[int, list[Decision]] = defaultdict(list)
    past = Decision.objects.filter(sample__in=keys).select_related("category", "reviewer")
    for decision in past.order_by("-pk"):
        decisions[decision.sample_id].append(decision)
    projects = {sample.project_id: sample.project for sample in samples}
    known = {key: category_keys.keyed_categories(each) for key, each in projects.items()}
    return [
        _card(sample, verdicts[sample.pk], decisions[sample.pk], known[sample.project_id], reviewer)
        for sample in samples
    ]


def _card(
    sample: Sample,
    verdicts: Sequence[Feedback],
    past: Sequence[Decision],
    known: Sequence[Category],
    reviewer: User | None,
) -> ReviewCard:
    # The prediction that somebody objected to is shown, or else the newest
    doubt = next((each for each in verdicts if each.verdict != Feedback.Verdict.OK), None)
    predictions = sample.predictions.select_related("model_version", "top", "project")
    prediction = doubt.prediction if doubt else predictions.order_by("-pk").first()
    reason = getattr(sample, "reason", None) or queue.review_reason(sample, reviewer=reviewer)
    is_second = reason == queue.Reason.SECOND_OPINION
    suggestion, suggested = suggest(sample.project, doubt, prediction)
    return ReviewCard(
        sample=sample,
        reason=reason,
        prediction=prediction,
        feedback=doubt,
        choices=category_buttons(known, suggested),
        all_names=sorted(category.name for category in known),
        verdicts=verdicts,
        decisions=[] if is_second else past,
        suggestion=suggestion,
        first=past[0] if is_second else None,
    )


def suggest(
    project: Project, doubt: Feedback | None, prediction: Prediction | None
) -> tuple[Suggestion | None, Category | None]:
    """Return what a sample most likely is, and its category if there is one yet.

    The model's answer counts only where no person named anything.
    """
    named = doubt.category if doubt else None
    if doubt and doubt.suggestion:
        # Words that named no category when they were typed may name one by now
        named = categories.find_category(project, doubt.suggestion)
        if named is None:
            ruling = f"name:{doubt.suggestion}"
            return Suggestion(doubt.suggestion, ruling, is_new=True), None
    if named and not named.removed_at:
        return Suggestion(named.name, f"category:{named.pk}"), named
    if prediction and prediction.top and not prediction.top.removed_at:
        return Suggestion(prediction.top.name, "confirm", by_model=True), prediction.top
    return None, None


def category_buttons(
    known: Sequence[Category], suggested: Category | None = None
) -> list[CategoryButton]:
    """Return a button for each category, at most `MAX_BUTTONS` and the suggested one."""
    shown = [*known[:MAX_BUTTONS], *(each for each in known[MAX_BUTTONS:] if each == suggested)]
    return [CategoryButton(category, category == suggested) for category in shown]

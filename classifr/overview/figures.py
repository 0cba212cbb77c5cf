"""How a project is doing, as one page shows it. Nothing here reads more for a longer history."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from django.db.models import Count
from django.utils import timezone

from common.names import comparison_key
from predictions import daily_figures
from predictions.models import (
    Category,
    DailyFigures,
    Feedback,
    ModelVersion,
    Project,
    Promotion,
    Sample,
)
from review import ground_truth, queue
from review.models import Decision
from review.queue import QueueFilters, Reason
from training.evaluation.significance import wilson_interval
from training.models import DatasetVersion, Evaluation

DAYS = 30
WEEK = 7
COVER = 6  # pictures on the card of a project
MOST_WAITING = 99  # of a reason; more are not counted
MOST_PAIRS = 6
MOST_CATEGORIES = 12
COUNTED_NOW = 20  # categories
MOST_SUGGESTED = 4
SUGGESTIONS_READ = 500  # the newest NOKs in which names are looked for
FEWEST_SUGGESTIONS = 2
ONLY_A_FEW = 1000  # pictures, below which a rate is told with its interval


@dataclass(frozen=True)
class OkRate:
    """How many of the answers that people judged were right."""

    ok: int
    judged: int

    @property
    def rate(self) -> float | None:
        return self.ok / self.judged if self.judged else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson_interval(self.ok, self.judged) if self.judged < ONLY_A_FEW else None


@dataclass(frozen=True)
class WaitingSamples:
    """How many samples wait for review for one reason, up to `MOST_WAITING` and "or more"."""

    reason: Reason
    count: int

    @property
    def is_more(self) -> bool:
        return self.count > MOST_WAITING

    @property
    def shown(self) -> int:
        return min(self.count, MOST_WAITING)


@dataclass(frozen=True)
class ConfusedPair:
    """A category and what the model said instead; `part`: of the most frequent, in [0, 1]."""

    truth: str
    answer: str
    count: int
    part: float


@dataclass(frozen=True)
class SuggestedName:
    """A name that people gave and that is no category yet, and pictures that it was given to."""

    name: str
    count: int
    samples: Sequence[object]


@dataclass(frozen=True)
class CategoryFigures:
    """A category in the newest data set: its pictures, and the share that the live model finds."""

    name: str
    pictures: int
    recall: float | None
    is_known: bool


@dataclass(frozen=True)
class WeekBeside:
    """A number of this week per day, and by how much it differs from the week before."""

    per_day: float
    change: float | None


def ok_rate(days: Sequence[DailyFigures]) -> OkRate:
    ok = sum(day.ok for day in days)
    return OkRate(ok, ok + sum(day.nok for day in days))


def per_day(days: Sequence[DailyFigures]) -> WeekBeside:
    """Return the predictions per day of the last week, and its change against the one before."""
    now = sum(day.predictions for day in days[-WEEK:])
    before = sum(day.predictions for day in days[-2 * WEEK : -WEEK])
    return WeekBeside(now / WEEK, now / before - 1 if before else None)


def waiting(project: Project) -> list[WaitingSamples]:
    """Return what waits for review, by reason, the most urgent first; a sample counts once."""
    filters, seen, found = QueueFilters(project=project), set[int](), []
    for reason in Reason:
        new = set(islice(queue.waiting_samples(reason, filters), MOST_WAITING + 1)) - seen
        seen |= new
        if new:
            found.append(WaitingSamples(reason, len(new)))
    return found


def confused_pairs(project: Project) -> list[ConfusedPair]:
    """Return what reviewers had to correct most in the last weeks."""
    decided = Decision.objects.filter(
        sample__project=project,
        outcome=Decision.Outcome.LABELLED,
        prediction__top__isnull=False,
        created_at__gte=timezone.now() - timedelta(days=DAYS),
    ).values_list("category__name", "prediction__top__name")
    counts = Counter(
        {
            (truth, answer): count
            for truth, answer, count in decided.annotate(count=Count("pk"))
            if truth != answer
        }
    ).most_common(MOST_PAIRS)
    return [
        ConfusedPair(truth, answer, count, count / counts[0][1])
        for (truth, answer), count in counts
    ]


def suggested_names(project: Project) -> list[SuggestedName]:
    """Return names in the newest NOKs that several people or pictures had, most frequent first."""
    noks = Feedback.objects.filter(
        prediction__project=project,
        verdict=Feedback.Verdict.NOK,
        created_at__gte=timezone.now() - timedelta(days=3 * DAYS),
    ).exclude(suggestion="")
    newest = noks.select_related("prediction__sample").order_by("-pk")[:SUGGESTIONS_READ]
    by_key: dict[str, list[Feedback]] = {}
    for each in newest:
        by_key.setdefault(comparison_key(each.suggestion), []).append(each)
    taken = Category.objects.filter(project=project, name_key__in=by_key)
    for key in taken.values_list("name_key", flat=True):
        del by_key[key]
    frequent = [each for each in by_key.values() if len(each) >= FEWEST_SUGGESTIONS]
    frequent.sort(key=len, reverse=True)
    return [
        SuggestedName(each[0].suggestion, len(each), [one.prediction.sample for one in each[:3]])
        for each in frequent[:MOST_SUGGESTED]
    ]


def category_sizes(project: Project, dataset: DatasetVersion | None) -> dict[str, int]:
    """Return the labelled samples of each category: those of the newest data set, and of a few
    categories that it does not have those of now.
    """
    counts = dataset.report.get("counts", {}) if dataset else {}
    present = set(project.categories.values_list("name", flat=True))  # not those deleted since
    sizes = {name: sum(splits.values()) for name, splits in counts.items() if name in present}
    others = Category.objects.filter(project=project).exclude(name__in=sizes)
    for category in others.select_related("project")[:COUNTED_NOW]:
        sizes[category.name] = ground_truth.samples_showing(category).count()
    return sizes


def category_figures(sizes: Mapping[str, int], live: ModelVersion | None) -> list[CategoryFigures]:
    """Return the categories, those that the live model finds worst first."""
    evaluation = live and Evaluation.objects.filter(model_version=live).order_by("-pk").first()
    figures = evaluation.per_category if evaluation else {}
    known = set(live.class_names) if live else set()
    rows = [
        CategoryFigures(name, size, figures.get(name, {}).get("recall"), name in known)
        for name, size in sizes.items()
    ]
    rows.sort(key=lambda each: (each.recall is None, each.recall or 0.0, each.name))
    return rows[:MOST_CATEGORIES]


def newest_promotion(project: Project) -> Promotion | None:
    newest = Promotion.objects.filter(project=project).order_by("-pk")
    return newest.select_related("model_version", "promoted_by").first()


def cover(project: Project) -> list[Sample]:
    """Return a sample of each of the first categories, the newest that pages can show."""
    found = []
    for category in project.categories.all()[:COVER]:
        newest = Decision.objects.in_force().filter(category=category).order_by("-pk")
        decision = newest.select_related("sample").first()
        if decision and (decision.sample.is_picture or decision.sample.is_drawn):
            found.append(decision.sample)
    return found


def last_days(project: Project) -> list[DailyFigures]:
    return daily_figures.recent_figures(project, DAYS)

"""How well it goes under each capture condition, so that a drop is found where it is.

Shares are compared with those of all other samples. One is marked as lower if chance does not
explain it: its Wilson interval lies below the others' share, at a level that is divided by the
number of values compared (Bonferroni), or one in twenty would be marked by luck.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from statistics import NormalDist

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import TruncDate
from django.utils import timezone

from predictions.models import CaptureCondition, Feedback, Prediction, Project
from training.evaluation.significance import ALPHA, wilson_interval
from training.models import DatasetItem, Evaluation

RECENT = 20_000  # predictions that are looked at, the newest
DAYS = 30
VALUES = 20  # shown of each condition, those with most samples

Counts = Mapping[str, tuple[int, int]]  # value -> good ones, all


@dataclass(frozen=True)
class ConditionRow:
    """Of the samples with one value of a condition: how many were right, and of how many."""

    value: str
    right: int
    count: int
    is_lower: bool

    @property
    def share(self) -> float:
        return self.right / self.count

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson_interval(self.right, self.count)


@dataclass(frozen=True)
class ConditionTable:
    """The rows of one condition; `is_cut`: there are values with fewer samples as well."""

    name: str
    rows: list[ConditionRow]
    is_cut: bool = False


def accuracy_by_condition(evaluation: Evaluation) -> list[ConditionTable]:
    """Return how often a model was right on the test split, by each condition of its samples."""
    tested = DatasetItem.objects.filter(
        dataset=evaluation.dataset_id, split=DatasetItem.Split.TEST
    ).values("sample")
    told = CaptureCondition.objects.filter(sample__in=tested)
    counts: dict[str, dict[str, tuple[int, int]]] = {}
    for sample, name, value in told.values_list("sample", "name", "value").iterator(5000):
        if (is_right := evaluation.answers.get(str(sample))) is not None:
            values = counts.setdefault(name, {})
            right, count = values.get(value, (0, 0))
            values[value] = right + is_right, count + 1
    return _tables(counts)


def ok_by_condition(project: Project) -> list[ConditionTable]:
    """Return how often users said OK, of OK and NOK, to the newest predictions, by condition."""
    place = "prediction__sample__conditions"
    rows = (
        _recent_feedback(project)
        .filter(**{f"{place}__isnull": False})
        .values_list(f"{place}__name", f"{place}__value")
        .annotate(right=Count("pk", filter=Q(verdict=Feedback.Verdict.OK)), count=Count("pk"))
        .order_by()
    )
    counts: dict[str, dict[str, tuple[int, int]]] = {}
    for name, value, right, count in rows:
        counts.setdefault(name, {})[value] = right, count
    return _tables(counts)


def ok_by_day(project: Project) -> ConditionTable | None:
    """Return how often users said OK, of OK and NOK, by the day of the prediction, newest first."""
    since = timezone.now() - timedelta(days=DAYS)
    rows = (
        _recent_feedback(project)
        .filter(prediction__created_at__gte=since)
        .values_list(TruncDate("prediction__created_at"))
        .annotate(right=Count("pk", filter=Q(verdict=Feedback.Verdict.OK)), count=Count("pk"))
        .order_by()
    )
    counts = {day.isoformat(): (right, count) for day, right, count in rows}
    if not counts:
        return None
    return ConditionTable("day", sorted(_rows(counts), key=lambda row: row.value, reverse=True))


def _recent_feedback(project: Project) -> QuerySet[Feedback]:
    said = Feedback.objects.filter(
        prediction__project=project, verdict__in=[Feedback.Verdict.OK, Feedback.Verdict.NOK]
    )
    newest = Prediction.objects.filter(project=project).order_by("-pk")
    just_too_old = newest.values_list("pk", flat=True)[RECENT : RECENT + 1].first()
    return said.filter(prediction__pk__gt=just_too_old or 0)


def _tables(counts: Mapping[str, Counts]) -> list[ConditionTable]:
    tables = []
    for name in sorted(counts):
        most = sorted(counts[name].items(), key=lambda item: -item[1][1])[:VALUES]
        rows = sorted(_rows(dict(most)), key=lambda row: (not row.is_lower, row.share, row.value))
        tables.append(ConditionTable(name, rows, is_cut=len(counts[name]) > VALUES))
    return tables


def _rows(counts: Counts) -> Iterable[ConditionRow]:
    right, count = (sum(part) for part in zip(*counts.values(), strict=True))
    z = NormalDist().inv_cdf(1 - ALPHA / 2 / len(counts))
    for value, (own_right, own_count) in counts.items():
        others = count - own_count
        own = wilson_interval(own_right, own_count, z=z)
        is_lower = bool(others and own and own[1] < (right - own_right) / others)
        yield ConditionRow(value, own_right, own_count, is_lower)

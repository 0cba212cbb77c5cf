"""Measuring drift: the first answers of the live version beside its newest, and the verdicts.

The reference are the first answers after the promotion, as test pictures are chosen and labelled
while these are what is really sent. Only so many rows are read, whatever a project holds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from predictions.models import CaptureCondition, Feedback, Prediction, Promotion
from training.drift import statistics
from training.models import DriftMeasure

MOST_READ = 10_000  # answers at either end
MOST_VERDICTS = 2000  # at either end
# The first day is compared with the last, as the hours of a day differ, or so many answers where
# that is more. The reference stays as it is, or it would drift as well.
SPAN = timedelta(days=1)
REFERENCE = 300
RECENT, FEWEST_RECENT = 500, 200
# Of verdicts there are few: a quarter of them, so that a fall is long known when it gets there
FEWEST_REFERENCE_VERDICTS, MOST_REFERENCE_VERDICTS = 100, 300
FEWEST_VERDICTS = 20
RECENT_VERDICTS = 100  # whose OK rate is told
MOST_CONDITIONS = 50  # those with most answers
KEYS_AT_ONCE = 1000  # in a query
RETURN = 0.6  # of the threshold, below which a drift is over
EVIDENCE_RETURN = 0.5  # the same for the share of the evidence: a hundredth of its limit

Condition = tuple[str, str]  # name and value
EVERYTHING: Condition = ("", "")


class Answer(NamedTuple):
    pk: int
    sample: int
    confidence: float
    familiarity: float | None
    created_at: datetime


class Verdict(NamedTuple):
    pk: int
    sample: int
    is_ok: bool


@dataclass(frozen=True)
class Shift:
    """How far the newest are from the reference: a drift from `threshold` on, and over below
    `threshold` times `closes_below`.
    """

    index: float
    threshold: float
    before: float
    now: float
    shares: Mapping[str, Sequence[float]] = field(default_factory=dict)
    closes_below: float = RETURN

    def is_drift(self, was_drifting: bool) -> bool:
        """Return whether it is a drift now; one that was, goes on until it is clearly over."""
        factor = self.closes_below if was_drifting else 1.0
        return self.index >= factor * self.threshold


@dataclass(frozen=True)
class Measurement:
    """What was found; `shift` is None where there are too few answers."""

    measure: DriftMeasure
    condition: Condition
    reference_count: int
    recent_count: int
    shift: Shift | None = None


def measure(promotion: Promotion) -> list[Measurement]:
    """Measure drift since a version went live: of everything, then where there is enough of each
    capture condition.
    """
    first, newest = _answers(promotion)
    first_verdicts = _verdicts(first)[:MOST_VERDICTS]
    newest_verdicts = _verdicts(newest)[-MOST_VERDICTS:]
    conditions = _conditions({each.sample for each in (*first, *newest)})
    chosen = _most_frequent(conditions, newest)
    comparisons = 1 + len(chosen)
    found = []
    for condition in (EVERYTHING, *chosen):
        of_it = None if condition == EVERYTHING else conditions[condition]
        answers = _of(first, of_it), _of(newest, of_it)
        verdicts = _of(first_verdicts, of_it), _of(newest_verdicts, of_it)
        measured = [
            measure_ok_rate(*verdicts, condition, comparisons),
            measure_values(DriftMeasure.SCORES, *answers, condition, comparisons),
            measure_values(DriftMeasure.FAMILIARITY, *answers, condition, comparisons),
        ]
        # Of a condition, that it has too few answers tells nobody anything
        found += [each for each in measured if each.shift or of_it is None]
    return found


def measure_values(
    kind: DriftMeasure,
    first: Sequence[Answer],
    newest: Sequence[Answer],
    condition: Condition = EVERYTHING,
    comparisons: int = 1,
) -> Measurement:
    """Compare the confidence, or the familiarity, of the newest answers with that of the first.

    Args:
        first, newest: in the order of the answers; an answer in both counts among the first.
    """
    known = [each for each in first if _value(each, kind) is not None]
    of_first_day = sum(each.created_at < known[0].created_at + SPAN for each in known)
    reference = known[: max(REFERENCE, of_first_day)]
    last = reference[-1].pk if reference else 0
    later = [each for each in newest if each.pk > last and _value(each, kind) is not None]
    of_last_day = sum(each.created_at > later[-1].created_at - SPAN for each in later)
    recent = later[-max(RECENT, of_last_day) :]
    counts = len(reference), len(recent)
    is_enough = counts[0] >= REFERENCE and counts[1] >= FEWEST_RECENT
    # Before a whole day is over, only its night may have been seen
    if not is_enough or later[-1].created_at - reference[-1].created_at < SPAN:
        return Measurement(kind, condition, *counts)
    before, now = (
        np.array([_value(each, kind) for each in part], np.float64) for part in (reference, recent)
    )
    edges = statistics.decile_edges(before)
    expected, found = (statistics.bin_shares(part, edges) for part in (before, now))
    shift = Shift(
        index=statistics.stability_index(expected, found),
        threshold=statistics.index_threshold(len(expected), *counts, comparisons),
        before=float(np.median(before)),
        now=float(np.median(now)),
        shares={"before": expected.round(4).tolist(), "now": found.round(4).tolist()},
    )
    return Measurement(kind, condition, *counts, shift)


def measure_ok_rate(
    first: Sequence[Verdict],
    newest: Sequence[Verdict],
    condition: Condition = EVERYTHING,
    comparisons: int = 1,
) -> Measurement:
    """Say whether the OK rate has fallen since the first verdicts, see `fall_evidence`."""
    quarter = len({each.pk for each in (*first, *newest)}) // 4
    amount = min(max(quarter, FEWEST_REFERENCE_VERDICTS), MOST_REFERENCE_VERDICTS)
    reference = first[:amount]
    later = [each for each in newest if not reference or each.pk > reference[-1].pk]
    counts = len(reference), len(later)
    if counts[0] < FEWEST_REFERENCE_VERDICTS or counts[1] < FEWEST_VERDICTS:
        return Measurement(DriftMeasure.OK_RATE, condition, *counts)
    right = sum(each.is_ok for each in reference)
    recent = later[-RECENT_VERDICTS:]
    limit = float(statistics.VERDICTS_PER_FALSE_ALARM * comparisons)
    evidence = statistics.fall_evidence(
        (each.is_ok for each in later), statistics.tolerated_rate(right, counts[0]), limit
    )
    shift = Shift(
        index=statistics.evidence_share(evidence, limit),
        threshold=1.0,
        before=right / counts[0],
        now=sum(each.is_ok for each in recent) / len(recent),
        closes_below=EVIDENCE_RETURN,
    )
    return Measurement(DriftMeasure.OK_RATE, condition, *counts, shift)


def _value(answer: Answer, kind: DriftMeasure) -> float | None:
    return answer.confidence if kind == DriftMeasure.SCORES else answer.familiarity


def _answers(promotion: Promotion) -> tuple[list[Answer], list[Answer]]:
    """Return the first and the newest answers since a promotion, each in their order."""
    columns = ("pk", "sample", "confidence", "familiarity", "created_at", "model_version")
    of_project = Prediction.objects.filter(project=promotion.project_id)
    since = of_project.filter(created_at__gte=promotion.created_at)
    # Along the index by time and the one by key. Answers of a fallback are left out here and not
    # by the query, which would search for others in their place.
    ends = since.order_by("created_at"), of_project.order_by("-pk")
    first, newest = (
        sorted(
            Answer(*row[:-1])
            for row in rows.values_list(*columns)[:MOST_READ]
            if row[-1] == promotion.model_version_id and row[-2] >= promotion.created_at
        )
        for rows in ends
    )
    return first, newest


def _verdicts(answers: Sequence[Answer]) -> list[Verdict]:
    """Return every OK and NOK on these answers, in the order in which they were given."""
    samples = {each.pk: each.sample for each in answers}
    found = []
    for keys in _some_at_once(samples):
        given = Feedback.objects.filter(
            prediction__in=keys, verdict__in=[Feedback.Verdict.OK, Feedback.Verdict.NOK]
        )
        found += [
            Verdict(pk, samples[prediction], verdict == Feedback.Verdict.OK)
            for pk, prediction, verdict in given.values_list("pk", "prediction", "verdict")
        ]
    return sorted(found)


def _conditions(samples: Iterable[int]) -> dict[Condition, set[int]]:
    """Return the samples of each capture condition."""
    found: dict[Condition, set[int]] = {}
    for keys in _some_at_once(samples):
        rows = CaptureCondition.objects.filter(sample__in=keys)
        for sample, name, value in rows.values_list("sample", "name", "value"):
            found.setdefault((name, value), set()).add(sample)
    return found


def _some_at_once(keys: Iterable[int]) -> Iterator[list[int]]:
    ordered = sorted(keys)
    for begin in range(0, len(ordered), KEYS_AT_ONCE):
        yield ordered[begin : begin + KEYS_AT_ONCE]


def _most_frequent(
    conditions: Mapping[Condition, set[int]], newest: Sequence[Answer]
) -> list[Condition]:
    """Return the conditions that may have enough answers, those with most of the newest first."""
    samples = {each.sample for each in newest}
    counts = {condition: len(those & samples) for condition, those in conditions.items()}
    enough = [each for each, count in counts.items() if count >= FEWEST_VERDICTS]
    return sorted(enough, key=lambda each: (-counts[each], each))[:MOST_CONDITIONS]


def _of(rows: Sequence, samples: set[int] | None) -> list:
    return [each for each in rows if samples is None or each.sample in samples]

"""How often drift is told without one, and how soon with one: `python -m bench.drift`.

Streams of answers and verdicts are drawn, and measured every so often with the code that a worker
calls each hour. Nothing else of the site is needed: no database, no model.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import django
import numpy as np

if TYPE_CHECKING:
    from training.drift.measurement import Answer, Measurement, Verdict

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
HOURS = 7 * 24
VERDICTS_A_WEEK = (20, 100, 500)
ANSWERS_A_WEEK = (1000, 5000)
PROJECTS, WEEKS = 10, 20  # of each rate, without drift
RUNS = 200  # with drift
GOOD_VERDICTS, GOOD_ANSWERS = 500, 700  # before it begins
FALLS = ((0.95, 0.85), (0.9, 0.8), (0.9, 0.7), (0.9, 0.6), (0.8, 0.6))
MOST_LATER = 2000  # verdicts or answers until which a drift has to be found
# What `--check` holds the figures to
MOST_FALSE = 1.0  # in 100 project-weeks, of all measures together
MOST_DELAY = 200  # verdicts, from 90 to 70 % OK: the median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="fail where it alarms too often or late"
    )
    parser.add_argument("--projects", type=int, default=PROJECTS)
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")
    django.setup()
    worst = false_alarms(options.projects)
    slowest = delays(options.runs)
    shifts(options.runs)
    sys.exit(1 if options.check and (worst > MOST_FALSE or slowest > MOST_DELAY) else 0)


def false_alarms(projects: int) -> float:
    """Print and return how many alarms there are without drift, in 100 project-weeks at most."""
    print(f"\nWithout drift: {projects} projects of {WEEKS} weeks each, measured every hour\n")
    print("| measure | each week | alarms | in 100 project-weeks |")
    print("|---|--:|--:|--:|")
    worst = 0.0
    chance = np.random.default_rng(0)
    for rate in VERDICTS_A_WEEK:
        alarms = sum(_ok_alarms(chance, rate) for _project in range(projects))
        worst = max(worst, _row("OK rate of 90 %", f"{rate} verdicts", alarms, projects))
    for rate in ANSWERS_A_WEEK:
        alarms = sum(_score_alarms(chance, rate) for _project in range(projects))
        worst = max(worst, _row("confidence", f"{rate} answers", alarms, projects))
        alarms = sum(_score_alarms(chance, rate, by_night=True) for _project in range(projects))
        worst = max(worst, _row("confidence, by night lower", f"{rate} answers", alarms, projects))
    print()
    return worst


def delays(runs: int) -> float:
    """Print after how many verdicts a fall is told; return the median for 90 to 70 %."""
    print(
        f"A fall of the OK rate {GOOD_VERDICTS} verdicts after the promotion, told after so many\n"
    )
    print("| from | to | found early | median | 90 of 100 | not within 2,000 |")
    print("|--:|--:|--:|--:|--:|--:|")
    chance = np.random.default_rng(1)
    checked = 0.0
    for before, after in FALLS:
        found = [_delay(chance, before, after) for _run in range(runs)]
        early = sum(each < 0 for each in found)
        told = [each for each in found if each >= 0]
        median, late = np.percentile(told, [50, 90])
        missed = sum(each >= MOST_LATER for each in told)
        print(
            f"| {before:.0%} | {after:.0%} | {early} | {median:.0f} | {_bounded(late)} "
            f"| {100 * missed / runs:.0f} % |"
        )
        if (before, after) == (0.9, 0.7):
            checked = float(median)
    print()
    return checked


def shifts(runs: int) -> None:
    """Print after how many answers other scores are told."""
    print(f"Other confidences {GOOD_ANSWERS} answers after the promotion, told after ...\n")
    print("| confidence | median | 90 of 100 | not within 2,000 |")
    print("|---|--:|--:|--:|")
    chance = np.random.default_rng(2)
    for name, shape in (("a little lower", (4, 1.5)), ("lower", (3, 1.5)), ("much lower", (2, 2))):
        found = [_shift_delay(chance, shape) for _run in range(runs)]
        median, late = np.percentile(found, [50, 90])
        missed = sum(each >= MOST_LATER for each in found)
        print(f"| {name} | {_bounded(median)} | {_bounded(late)} | {100 * missed / runs:.0f} % |")


def _ok_alarms(chance: np.random.Generator, rate: int) -> int:
    """Return how many episodes begin in a project whose OK rate stays at 90 %."""
    said = _verdicts(chance.random(rate * WEEKS) < 0.9)
    return _episodes(_measured_ok(said, end) for end in _hourly(len(said)))


def _score_alarms(chance: np.random.Generator, rate: int, *, by_night: bool = False) -> int:
    """Return how many begin where confidences stay as they are, all day or from day to day."""
    count = rate * WEEKS
    values = chance.beta(5, 1, count)
    if by_night:
        is_night = np.arange(count) * 7 / rate % 1 < 1 / 3
        values = np.where(is_night, chance.beta(3, 1.5, count), values)
    answers = _answers(values, rate)
    return _episodes(_measured_scores(answers, end) for end in _hourly(len(answers)))


def _hourly(count: int) -> Sequence[int]:
    """Return how many there are at the end of each hour in which there came some."""
    return sorted({int(end) for end in np.linspace(0, count, WEEKS * HOURS + 1)[1:] if end >= 1})


def _episodes(measurements: "Iterable[Measurement]") -> int:
    begun, is_drifting = 0, False
    for each in measurements:
        was, is_drifting = is_drifting, bool(each.shift and each.shift.is_drift(is_drifting))
        begun += is_drifting and not was
    return begun


def _delay(chance: np.random.Generator, before: float, after: float) -> int:
    """Return after how many verdicts with the lower rate it is told; below zero: before it fell."""
    draws = chance.random(GOOD_VERDICTS + MOST_LATER)
    said = _verdicts(draws < np.where(np.arange(len(draws)) < GOOD_VERDICTS, before, after))
    ends = range(120, len(said), 5)
    return _first_drift(lambda end: _measured_ok(said, end), ends) - GOOD_VERDICTS


def _shift_delay(chance: np.random.Generator, shape: tuple[float, float]) -> int:
    values = np.r_[chance.beta(5, 1, GOOD_ANSWERS), chance.beta(*shape, MOST_LATER)]
    answers = _answers(values, 1000)
    ends = range(GOOD_ANSWERS + 10, len(values), 10)
    return _first_drift(lambda end: _measured_scores(answers, end), ends) - GOOD_ANSWERS


def _first_drift(measured: "Callable[[int], Measurement]", ends: range) -> int:
    for end in ends:
        shift = measured(end).shift
        if shift and shift.is_drift(was_drifting=False):
            return end
    return ends.stop + MOST_LATER


def _verdicts(right: np.ndarray) -> "list[Verdict]":
    from training.drift.measurement import Verdict

    return [Verdict(place, place, bool(is_ok)) for place, is_ok in enumerate(right, 1)]


def _answers(values: np.ndarray, a_week: int) -> "list[Answer]":
    from training.drift.measurement import Answer

    step = timedelta(weeks=1) / a_week
    return [
        Answer(place, place, float(value), None, BEGIN + place * step)
        for place, value in enumerate(values, 1)
    ]


def _measured_ok(said: "list[Verdict]", end: int) -> "Measurement":
    from training.drift import measurement

    most = measurement.MOST_VERDICTS
    return measurement.measure_ok_rate(said[: min(end, most)], said[max(0, end - most) : end])


def _measured_scores(answers: "list[Answer]", end: int) -> "Measurement":
    from training.drift import measurement
    from training.models import DriftMeasure

    # As many of the first as can be the reference; reading more would change nothing
    first = answers[: min(end, 1500)]
    newest = answers[max(0, end - 1500) : end]
    return measurement.measure_values(DriftMeasure.SCORES, first, newest)


def _row(name: str, rate: str, alarms: int, projects: int) -> float:
    share = 100 * alarms / (projects * WEEKS)
    print(f"| {name} | {rate} | {alarms} | {share:.2f} |", flush=True)
    return share


def _bounded(number: float) -> str:
    return "–" if number >= MOST_LATER else f"{number:.0f}"


if __name__ == "__main__":
    main()

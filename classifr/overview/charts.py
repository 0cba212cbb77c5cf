"""The overview's charts as geometry: days as bars, a share as a line that fits beside a figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.utils import timezone

from predictions.models import DailyFigures, Promotion

# In user units of the SVG, which scales with the page
WIDTH, LEFT = 560, 30
TOP, AXIS, FLOOR = 28, 150, 206
LABEL_EVERY = 10  # days; nearer, “22 novembre” runs into its neighbour on a phone
SPARK_WIDTH, SPARK_HEIGHT = 100, 32


@dataclass(frozen=True)
class DayBar:
    """What was said on a day: OK above the axis, NOK below it."""

    x: float
    ok_y: float
    ok_height: float
    nok_height: float
    day: date
    ok: int
    nok: int


@dataclass(frozen=True)
class Mark:
    """A promotion, at the day it happened, with a tag that stays within the picture."""

    x: float
    label: str

    @property
    def tag_width(self) -> int:
        return 12 + 8 * len(self.label)

    @property
    def tag_x(self) -> float:
        return min(self.x - self.tag_width / 2, WIDTH - self.tag_width)

    @property
    def text_x(self) -> float:
        return self.tag_x + self.tag_width / 2


@dataclass(frozen=True)
class GridLine:
    y: float
    label: int


@dataclass(frozen=True)
class DaysChart:
    bars: Sequence[DayBar]
    marks: Sequence[Mark]
    grid: Sequence[GridLine]
    bar_width: float
    labelled: Sequence[DayBar]
    axis: int = AXIS
    left: int = LEFT
    width: int = WIDTH
    height: int = FLOOR + 26


@dataclass(frozen=True)
class Spark:
    """A line and the area below it, in a view box of `SPARK_WIDTH` x `SPARK_HEIGHT`."""

    line: str
    area: str


@dataclass(frozen=True)
class PairBar:
    """One bin of two distributions, side by side."""

    x: float
    before_y: float
    before_height: float
    now_x: float
    now_y: float
    now_height: float


@dataclass(frozen=True)
class PairChart:
    """Two histograms over the same bins, in a view box of `SPARK_WIDTH` x `SPARK_HEIGHT`."""

    bars: Sequence[PairBar]
    bar_width: float


def pair_chart(before: Sequence[float], now: Sequence[float]) -> PairChart | None:
    """Return the shares of two distributions in each bin; None without any."""
    if not before:
        return None
    step, most = SPARK_WIDTH / len(before), max(*before, *now)
    bars = []
    for place, (was, is_now) in enumerate(zip(before, now, strict=True)):
        heights = [round(SPARK_HEIGHT * share / most, 1) for share in (was, is_now)]
        left = place * step
        bars.append(
            PairBar(
                round(left + step * 0.1, 1),
                round(SPARK_HEIGHT - heights[0], 1),
                heights[0],
                round(left + step * 0.5, 1),
                round(SPARK_HEIGHT - heights[1], 1),
                heights[1],
            )
        )
    return PairChart(bars, round(step * 0.4, 1))


def days_chart(days: Sequence[DailyFigures], promotions: Sequence[Promotion]) -> DaysChart | None:
    """Return bars of OK and NOK per day; None where nobody said anything."""
    most_ok, most_nok = max(day.ok for day in days), max(day.nok for day in days)
    if not most_ok and not most_nok:
        return None
    step = (WIDTH - LEFT) / len(days)
    # One scale for both, so that lengths can be compared
    unit = min((AXIS - TOP) / max(most_ok, 1), (FLOOR - AXIS) / max(most_nok, 1))
    bars = [
        DayBar(
            round(LEFT + place * step + step * 0.16, 1),
            round(AXIS - day.ok * unit, 1),
            round(day.ok * unit, 1),
            round(day.nok * unit, 1),
            day.day,
            day.ok,
            day.nok,
        )
        for place, day in enumerate(days)
    ]
    at = {day.day: LEFT + (place + 0.5) * step for place, day in enumerate(days)}
    marks = [
        Mark(round(at[day], 1), f"v{each.model_version.number}")
        for each in promotions
        if (day := timezone.localdate(each.created_at)) in at
    ]
    lines = [GridLine(round(AXIS - n * unit, 1), n) for n in _round_steps(most_ok)]
    lines += [GridLine(round(AXIS + n * unit, 1), n) for n in _round_steps(most_nok) if n]
    labelled = [*bars[:-1:LABEL_EVERY], bars[-1]]
    return DaysChart(bars, marks, lines, round(step * 0.68, 1), labelled)


def spark(values: Sequence[float | None]) -> Spark | None:
    """Return a line through the values that are there; None with fewer than two."""
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return None
    low, high = min(value for _place, value in known), max(value for _place, value in known)
    reach = (high - low) or 1
    points = [
        (
            round(SPARK_WIDTH * place / (len(values) - 1), 1),
            round(SPARK_HEIGHT - 3 - (SPARK_HEIGHT - 6) * (value - low) / reach, 1),
        )
        for place, value in known
    ]
    line = "M" + "L".join(f"{x} {y}" for x, y in points)
    return Spark(line, f"{line}V{SPARK_HEIGHT}H{points[0][0]}z")


def _round_steps(most: int) -> list[int]:
    """Return two or three round numbers up to the most."""
    if most < 2:
        return [most] if most else []
    step = 1
    while most / step > 3:
        step *= 5 if str(step)[0] == "2" and most / step > 7 else 2
    return list(range(step, most + 1, step))

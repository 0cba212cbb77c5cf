"""Charts of how well models do, as geometry for SVG templates: thresholds, versions, confusion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from training.evaluation.version_history import MeasuredVersion

MOST_CONFUSED = 30  # categories of a matrix that is shown; the whole one is a download
WIDTH, HEIGHT = 340, 240
LEFT, RIGHT, TOP, BOTTOM = 60, 316, 14, 200
FEWEST_WIDTH, STEP = 900, 110  # of the chart of versions, and at least between them
CHART_HEIGHT, FLOOR = 236, 196


@dataclass(frozen=True)
class ConfusionCell:
    row: int
    column: int
    name: str  # what it was taken for
    count: int
    css_class: str


@dataclass(frozen=True)
class ConfusionRow:
    name: str
    cells: Sequence[ConfusionCell]


@dataclass(frozen=True)
class ConfusionTable:
    """The matrix of the categories that are confused most; rows are true, columns are said."""

    names: Sequence[str]
    rows: Sequence[ConfusionRow]
    total: int  # categories that there are

    @property
    def is_cut(self) -> bool:
        return len(self.names) < self.total


@dataclass(frozen=True)
class ShareTick:
    at: float
    share: float


@dataclass(frozen=True)
class SharesChart:
    """A line of one share over another, both from 0 to 1 but for the lower end of the upward axis.

    `points` is an SVG attribute, `rows` are the numbers for a table beside it.
    """

    points: str
    rows: Sequence[tuple[float, float, float]]  # threshold, share along, share upwards
    x_ticks: Sequence[ShareTick]
    y_ticks: Sequence[ShareTick]
    mark: tuple[float, float, float] | None = None  # x, y and the threshold in force
    dots: Sequence[tuple[float, float]] = ()
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    bottom: int = BOTTOM


@dataclass(frozen=True)
class VersionDot:
    """A version: its share of right answers, and the ends of the interval around it."""

    x: float
    y: float
    top: float
    bottom: float
    measured: MeasuredVersion
    state: str  # "live", "shadow" or ""

    @property
    def height(self) -> float:
        return round(self.bottom - self.top, 1)


@dataclass(frozen=True)
class VersionsChart:
    dots: Sequence[VersionDot]
    line: str
    ticks: Sequence[ShareTick]
    band: VersionDot | None  # of the live version
    width: int
    height: int = CHART_HEIGHT
    left: int = LEFT
    floor: int = FLOOR


def confusion_table(names: Sequence[str], counts: Sequence[Sequence[int]]) -> ConfusionTable:
    """Return the matrix as cells with classes of heat, limited to what is confused most."""
    places = range(len(names))
    if len(names) > MOST_CONFUSED:
        wrong = [sum(row) - row[i] for i, row in enumerate(counts)]
        for row in counts:
            for j, count in enumerate(row):
                wrong[j] += count
        for i in places:
            wrong[i] -= counts[i][i]
        places = sorted(sorted(places, key=lambda i: (-wrong[i], i))[:MOST_CONFUSED])  # type: ignore[assignment]
    rows = []
    for i in places:
        total = sum(counts[i])
        cells = [
            ConfusionCell(i, j, names[j], counts[i][j], _heat(counts[i][j], total, i == j))
            for j in places
        ]
        rows.append(ConfusionRow(names[i], cells))
    return ConfusionTable([names[i] for i in places], rows, len(names))


def _heat(count: int, total: int, is_right: bool) -> str:
    if not count:
        return ""
    share = count / total
    if is_right:
        return f"heat-{min(5, 1 + int(share * 5))}"
    return f"miss-{1 if share < 0.05 else 2 if share < 0.1 else 3}"


def coverage_chart(
    bins: Sequence[Mapping[str, Any]], threshold: float | None = None
) -> SharesChart | None:
    """Return the share of right answers over the share of pictures that get one.

    The bins of the calibration hold both at their lower edges, so each of them is a threshold.
    """
    total = sum(each["count"] for each in bins)
    if not total:
        return None
    rows = []
    kept = right = 0.0
    for each in reversed(bins):
        if each["count"]:
            kept += each["count"]
            right += each["count"] * each["accuracy"]
            rows.append((each["low"], kept / total, right / kept))
    chart = _shares(rows)
    lowest = chart.y_ticks[0].share
    # A model that is always equally sure has one point, of which a line shows nothing
    chart = replace(chart, dots=[_place(along, up, lowest) for _low, along, up in rows])
    # The lowest edge that is not below the threshold: what is known of it for certain
    at = [row for row in rows if threshold and row[0] >= threshold - 1e-9]
    if not at:
        return chart
    low, along, up = at[-1]
    return replace(chart, mark=(*_place(along, up, lowest), low))


def precision_recall_chart(counts: Mapping[str, Any]) -> SharesChart | None:
    """Return precision over recall at every threshold, all categories together."""
    support = sum(counts.get("support", ()))
    if not support:
        return None
    rows = []
    steps = len(counts["named"][0])
    for step in reversed(range(steps)):
        named = sum(each[step] for each in counts["named"])
        right = sum(each[step] for each in counts["right"])
        if named:
            rows.append((step / (steps - 1), right / support, right / named))
    return _shares(rows) if rows else None


def versions_chart(
    measured: Sequence[MeasuredVersion], *, live: int, shadow: int
) -> VersionsChart | None:
    """Return the accuracy with its interval of some versions, in their order.

    Args:
        live: the key of the version that is live, or 0.
        shadow: that of the one in shadow, or 0.
    """
    if not measured:
        return None
    lowest = min(0.9, min(int(each.between[0] * 10) / 10 for each in measured))

    def y(share: float) -> float:
        return round(FLOOR - (FLOOR - 16) * (share - lowest) / (1 - lowest), 1)

    width = max(FEWEST_WIDTH, LEFT + len(measured) * STEP)
    step = (width - LEFT) / len(measured)
    dots = []
    for place, each in enumerate(measured):
        x = round(LEFT + (place + 0.4) * step, 1)
        state = "live" if each.version == live else "shadow" if each.version == shadow else ""
        low, high = each.between
        dots.append(VersionDot(x, y(each.share), y(high), y(low), each, state))
    ticks = [ShareTick(y(share), share) for share in _tenths(lowest)]
    line = "M" + "L".join(f"{dot.x} {dot.y}" for dot in dots)
    band = next((dot for dot in dots if dot.state == "live"), None)
    return VersionsChart(dots, line, ticks, band, width)


def _shares(rows: Sequence[tuple[float, float, float]]) -> SharesChart:
    lowest = min(0.9, int(min(up for _threshold, _along, up in rows) * 10) / 10)
    points = " ".join(
        "{:.1f},{:.1f}".format(*_place(along, up, lowest)) for _threshold, along, up in rows
    )
    return SharesChart(
        points,
        rows,
        [ShareTick(_place(share, 1, lowest)[0], share) for share in (0, 0.5, 1)],
        [ShareTick(_place(0, share, lowest)[1], share) for share in _tenths(lowest)],
    )


def _place(along: float, up: float, lowest: float) -> tuple[float, float]:
    x = LEFT + (RIGHT - LEFT) * along
    return round(x, 1), round(BOTTOM - (BOTTOM - TOP) * (up - lowest) / (1 - lowest), 1)


def _tenths(lowest: float) -> list[float]:
    """Return the lowest share, 1, and a few tenths between them."""
    tenths = round((1 - lowest) * 10)
    every = max(1, -(-tenths // 4))
    return [*(round(lowest + part / 10, 1) for part in range(0, tenths, every)), 1.0]

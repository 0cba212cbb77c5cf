"""Charts as geometry that the SVG templates draw: a web process needs no plotting library.

Everything shown is in a table beside it as well, for those who cannot see the picture.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# In user units of the SVG, which scales with the page
WIDTH, HEIGHT = 480, 240
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 28
CELL = 34
LABELS = 110
LEAN = 60  # how far the last slanted label reaches to the right
MAX_LABEL = 14  # characters
MAX_CLASSES_WITH_NUMBERS = 30


@dataclass(frozen=True)
class Line:
    """One curve: its name, an SVG `points` attribute, and values that its legend tells.

    Of curves of several runs drawn over each other, `owner` is whose it is and `place` the place of
    that run among them.
    """

    name: str
    points: str
    dashed: bool
    first: float
    last: float
    best: float
    owner: str = ""
    place: int | None = None

    @property
    def style(self) -> str:
        """Return the classes of its line: by train and validation, of several runs also by run."""
        if self.place is None:
            return "chart-validation" if self.dashed else "chart-train"
        return f"chart-run-{self.place}" + (" chart-dashed" if self.dashed else "")


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class Chart:
    """Curves that share their axes: losses in one chart, shares in [0, 1] in another."""

    title: str
    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    top: int = TOP
    right_edge: int = WIDTH - RIGHT
    bottom_edge: int = HEIGHT - BOTTOM


@dataclass(frozen=True)
class Cell:
    x: int
    y: int
    count: int
    share: str  # of its row, "0.00" to "1.00": how dark it is
    light_text: bool
    title: str
    row: int
    column: int


@dataclass(frozen=True)
class Label:
    text: str
    full: str
    x: float
    y: float


@dataclass(frozen=True)
class Row(Label):
    counts: Sequence[int]


@dataclass(frozen=True)
class Matrix:
    cells: list[Cell]
    rows: list[Row]
    columns: list[Label]
    width: int
    height: int
    with_numbers: bool
    cell: int = CELL
    labels: int = LABELS


@dataclass(frozen=True)
class ReliabilityBar:
    """The answers of one bin of confidence: geometry, and the numbers for the table beside it."""

    x: float
    y: float
    width: float
    height: float
    low: float
    high: float
    count: int
    confidence: float
    accuracy: float
    mean_x: float  # where the mean confidence stands


@dataclass(frozen=True)
class Reliability:
    """A bar per bin of confidence, and the diagonal where bars of a calibrated model end."""

    bars: list[ReliabilityBar]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    bins: int
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    top: int = TOP
    right_edge: int = WIDTH - RIGHT
    bottom_edge: int = HEIGHT - BOTTOM


def reliability_diagram(bins: Sequence[Mapping[str, Any]]) -> Reliability:
    """Return a bar per bin that has answers; both axes go from 0 to 1."""
    bars = []
    for each in bins:
        if each["count"]:
            left, right, top = _along(each["low"]), _along(each["high"]), _y(each["accuracy"], 0, 1)
            bars.append(
                ReliabilityBar(
                    x=round(left + 1, 1),
                    y=round(top, 1),
                    width=round(right - left - 2, 1),
                    height=round(HEIGHT - BOTTOM - top, 1),
                    mean_x=round(_along(each["confidence"]), 1),
                    **{
                        key: each[key] for key in ("low", "high", "count", "confidence", "accuracy")
                    },
                )
            )
    shares = [step / 4 for step in range(5)]
    return Reliability(
        bars=bars,
        x_ticks=[Tick(round(_along(share), 1), f"{share:.3g}") for share in shares],
        y_ticks=[Tick(round(_y(share, 0, 1), 1), f"{share:.3g}") for share in shares],
        bins=len(bins),
    )


Curves = Mapping[str, Sequence[float]]
# Whose it is, their place among several, its name and its values
_Curve = tuple[str, int | None, str, Sequence[float]]


def training_charts(curves: Curves) -> list[Chart]:
    """Return a chart per kind of curve (losses, accuracies), with train and validation in one."""
    return [
        _chart(kind, [("", None, name, values) for name, values in lines.items()])
        for kind, lines in _by_kind(curves).items()
    ]


def overlaid_charts(runs: Sequence[tuple[str, Curves]]) -> list[Chart]:
    """Return a chart per kind of curve with the curves of several runs, each with its name."""
    kinds: dict[str, list[_Curve]] = {}
    for place, (owner, curves) in enumerate(runs):
        for kind, lines in _by_kind(curves).items():
            kinds.setdefault(kind, []).extend(
                (owner, place, name, values) for name, values in lines.items()
            )
    return [_chart(kind, lines) for kind, lines in kinds.items()]


def _by_kind(curves: Curves) -> dict[str, dict[str, Sequence[float]]]:
    """Return the finite values of each curve, by its kind and its name."""
    kinds: dict[str, dict[str, Sequence[float]]] = {}
    for name, values in curves.items():
        finite = [
            value for value in values if isinstance(value, int | float) and math.isfinite(value)
        ]
        if finite:
            kind = name.removeprefix("validation_").removeprefix("val_")
            kinds.setdefault(kind, {})[name] = finite
    return kinds


def learning_curves(title: str, curves: Mapping[str, Mapping[int, float]]) -> Chart:
    """Return a chart of shares in [0, 1] over the pictures per category, on a logarithmic axis."""
    numbers = sorted({number for points in curves.values() for number in points})
    shares = [step / 5 for step in range(6)]
    return Chart(
        title=title,
        lines=[
            Line(
                name=name,
                points=" ".join(
                    f"{_x_of(number, numbers):.1f},{_y(points[number], 0, 1):.1f}"
                    for number in sorted(points)
                ),
                dashed=False,
                first=points[min(points)],
                last=points[max(points)],
                best=max(points.values()),
            )
            for name, points in curves.items()
            if points
        ],
        x_ticks=[Tick(round(_x_of(number, numbers), 1), str(number)) for number in numbers],
        y_ticks=[Tick(round(_y(share, 0, 1), 1), f"{share:.1f}") for share in shares],
    )


def outlook_chart(
    labels: Sequence[float],
    accuracy: Sequence[float],
    more: Sequence[float],
    forecast: Sequence[float],
) -> Chart:
    """Return a learning curve over the number of labels, and how it is likely to go on, dashed."""
    last = labels[-1] + more[-1]
    bottom = math.floor(min(accuracy) * 10) / 10

    def points(pairs: Sequence[tuple[float, float]]) -> str:
        return " ".join(
            f"{_along(count / last):.1f},{_y(share, bottom, 1):.1f}" for count, share in pairs
        )

    measured = list(zip(labels, accuracy, strict=True))
    going_on = [
        measured[-1],
        *((labels[-1] + each, share) for each, share in zip(more, forecast, strict=True)),
    ]
    ticks = [bottom + (1 - bottom) * part / 4 for part in range(5)]
    return Chart(
        title="outlook",
        lines=[
            Line("measured", points(measured), False, accuracy[0], accuracy[-1], max(accuracy)),
            Line("forecast", points(going_on), True, accuracy[-1], forecast[-1], max(forecast)),
        ],
        x_ticks=[
            Tick(round(_along(part / 4), 1), str(round(last * part / 4))) for part in range(5)
        ],
        y_ticks=[Tick(round(_y(share, bottom, 1), 1), f"{share:.3g}") for share in ticks],
    )


def confusion_matrix_chart(names: Sequence[str], counts: Sequence[Sequence[int]]) -> Matrix:
    """Return a cell per pair of classes: row = true, column = predicted; dark is a large share."""
    cells = []
    for i, row in enumerate(counts):
        total = sum(row)
        for j, count in enumerate(row):
            share = count / total if total else 0.0
            title = f"{names[i]} → {names[j]}: {count}"
            cells.append(
                Cell(
                    LABELS + j * CELL,
                    LABELS + i * CELL,
                    count,
                    f"{share:.2f}",
                    share > 0.55,
                    title,
                    i,
                    j,
                )
            )
    middle = CELL / 2
    return Matrix(
        cells=cells,
        rows=[
            Row(_short(name), name, LABELS - 6, LABELS + i * CELL + middle, counts[i])
            for i, name in enumerate(names)
        ],
        columns=[
            Label(_short(name), name, LABELS + i * CELL + middle, LABELS - 6)
            for i, name in enumerate(names)
        ],
        width=LABELS + CELL * len(names) + LEAN,
        height=LABELS + CELL * len(names) + 4,
        with_numbers=len(names) <= MAX_CLASSES_WITH_NUMBERS,
    )


def _chart(kind: str, curves: Sequence[_Curve]) -> Chart:
    steps = max(len(values) for *_, values in curves)
    top = _round_up(max(max(values) for *_, values in curves))
    bottom = min(0.0, min(min(values) for *_, values in curves))
    lines = [
        Line(
            name=name,
            points=" ".join(
                f"{_x(i, steps):.1f},{_y(value, bottom, top):.1f}" for i, value in enumerate(values)
            ),
            # The curve without a prefix is that of the train split
            dashed=name != kind,
            first=values[0],
            last=values[-1],
            best=min(values) if "loss" in kind else max(values),
            owner=owner,
            place=place,
        )
        for owner, place, name, values in curves
    ]
    # At most eight numbers below the axis, or they would touch
    every = max(1, math.ceil(steps / 8))
    return Chart(
        title=kind.replace("_", " "),
        lines=lines,
        x_ticks=[Tick(round(_x(i, steps), 1), str(i + 1)) for i in range(0, steps, every)],
        y_ticks=[
            Tick(round(_y(value, bottom, top), 1), f"{value:.3g}")
            for value in (bottom + (top - bottom) * part / 4 for part in range(5))
        ],
    )


def _x(step: int, steps: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (step / (steps - 1) if steps > 1 else 0.5)


def _x_of(number: int, numbers: Sequence[int]) -> float:
    """Return where a number stands on a logarithmic axis; a lone one stands in the middle."""
    low, high = math.log(numbers[0]), math.log(numbers[-1])
    return _along((math.log(number) - low) / (high - low) if high > low else 0.5)


def _y(value: float, bottom: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - bottom) / (top - bottom)


def _along(share: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * share


def _round_up(value: float) -> float:
    """Return 1, 2 or 5 times a power of ten that is not less."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    # 0.999, as rounding in the power must not push an exact 5 up to 10
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * 0.999)


def _short(name: str) -> str:
    return name if len(name) <= MAX_LABEL else f"{name[: MAX_LABEL - 1]}…"

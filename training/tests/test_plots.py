import pytest

from training import plots


def test_train_and_validation_share_a_chart():
    charts = plots.training_charts(
        {"loss": [2.0, 1.0], "validation_loss": [2.0, 1.5], "accuracy": [0.1, 0.9]}
    )
    assert [(chart.title, [line.name for line in chart.lines]) for chart in charts] == [
        ("loss", ["loss", "validation_loss"]),
        ("accuracy", ["accuracy"]),
    ]
    train, validation = charts[0].lines
    assert (train.dashed, train.last, train.best) == (False, 1.0, 1.0)
    assert validation.dashed
    assert charts[1].lines[0].best == 0.9


def test_the_highest_value_is_at_the_top_and_the_last_at_the_right():
    (chart,) = plots.training_charts({"loss": [2.0, 0.0]})
    assert chart.lines[0].points == "48.0,12.0 468.0,212.0"


@pytest.mark.parametrize("values", [[], [float("nan")], [None]])
def test_what_has_no_values_has_no_chart(values):
    assert plots.training_charts({"loss": values}) == []


def test_one_value_and_zeros_can_be_drawn():
    (chart,) = plots.training_charts({"loss": [0.0]})
    assert chart.lines[0].points == "258.0,212.0"


def test_a_confusion_matrix_is_darker_for_larger_shares():
    matrix = plots.confusion_matrix_chart(["a", "b", "empty"], [[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    assert [cell.share for cell in matrix.cells] == [
        "0.75",
        "0.25",
        "0.00",
        "0.00",
        "1.00",
        "0.00",
    ] + ["0.00"] * 3
    assert matrix.cells[1].title == "a → b: 1"
    assert [row.counts for row in matrix.rows] == [[3, 1, 0], [0, 2, 0], [0, 0, 0]]


def test_long_names_are_shortened_and_large_matrices_have_no_numbers():
    names = [f"a very long category {place}" for place in range(40)]
    matrix = plots.confusion_matrix_chart(names, [[0] * 40 for _ in names])
    assert matrix.rows[0].text == "a very long c…"
    assert matrix.rows[0].full == names[0]
    assert not matrix.with_numbers


def test_bars_of_a_reliability_diagram_end_where_the_share_of_right_answers_is():
    empty = {"low": 0.0, "high": 0.5, "count": 0, "confidence": 0.0, "accuracy": 0.0}
    drawn = plots.reliability_diagram(
        [empty, empty | {"low": 0.5, "high": 1.0, "count": 4, "confidence": 0.75, "accuracy": 1}]
    )
    (bar,) = drawn.bars
    assert (bar.x, bar.width, bar.y, bar.height) == (259.0, 208.0, 12.0, 200.0)
    assert (bar.mean_x, bar.count, drawn.bins) == (363.0, 4, 2)
    assert [tick.label for tick in drawn.x_ticks] == ["0", "0.25", "0.5", "0.75", "1"]


def test_learning_curves_stand_on_a_logarithmic_axis():
    chart = plots.learning_curves(
        "dishes", {"lite0": {5: 0.5, 50: 0.75}, "scratch": {50: 0.25}, "none": {}}
    )
    assert [(line.name, line.last) for line in chart.lines] == [
        ("lite0", 0.75),
        ("scratch", 0.25),
    ]
    (low, half), (high, _) = (
        [float(part) for part in point.split(",")] for point in chart.lines[0].points.split()
    )
    assert [(tick.at, tick.label) for tick in chart.x_ticks] == [(low, "5"), (high, "50")]
    assert half == pytest.approx((chart.y_ticks[0].at + chart.y_ticks[-1].at) / 2)
    assert plots.learning_curves("one", {"a": {10: 0.5}}).x_ticks[0].label == "10"

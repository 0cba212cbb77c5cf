"""Figures at a threshold, against counts made by hand."""

import numpy as np
import pytest

from training.evaluation import thresholds
from training.models import Evaluation
from training.tests.factories import make_trained

SCORES = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.55, 0.45]])
TRUTH = np.array([[True, False], [True, False], [False, True], [False, True]])


def evaluation() -> Evaluation:
    return Evaluation(thresholds=thresholds.count_at_thresholds(SCORES, ["a", "b"], TRUTH))


def test_a_threshold_decides_precision_and_recall():
    a = thresholds.metrics_at(evaluation(), 0.5).per_category["a"]
    assert (a.precision, a.recall) == (2 / 3, 1.0)
    a = thresholds.metrics_at(evaluation(), 0.6).per_category["a"]
    assert (a.precision, a.recall) == (1.0, 1.0)
    a = thresholds.metrics_at(evaluation(), 0.8).per_category["a"]
    assert (a.precision, a.recall) == (1.0, 0.5)


def test_the_whole_is_counted_over_all_categories():
    overall = thresholds.metrics_at(evaluation(), 0.5).overall
    assert (overall.precision, overall.recall) == (3 / 4, 3 / 4)
    overall = thresholds.metrics_at(evaluation(), 0.0).overall
    assert (overall.precision, overall.recall) == (1 / 2, 1.0)


def test_nothing_named_is_a_precision_of_nought():
    overall = thresholds.metrics_at(evaluation(), 1.0).overall
    assert (overall.precision, overall.recall) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("scores", "truth", "expected"),
    [
        ([0.9, 0.8, 0.7], [True, True, False], 1.0),
        ([0.9, 0.8, 0.7, 0.6], [True, False, True, False], (1 + 2 / 3) / 2),
        ([0.5, 0.5], [True, False], 0.5),
        ([0.5, 0.4], [False, False], None),
    ],
)
def test_average_precision_does_not_depend_on_the_order_of_equals(scores, truth, expected):
    assert thresholds.average_precision(np.array(scores), np.array(truth)) == pytest.approx(
        expected
    )
    backwards = thresholds.average_precision(np.array(scores[::-1]), np.array(truth[::-1]))
    assert backwards == pytest.approx(expected)


def test_an_older_evaluation_has_the_figures_of_its_answers():
    old = Evaluation(
        accuracy=0.75, per_category={"a": {"precision": None, "recall": 0.5, "support": 2}}
    )
    figures = thresholds.metrics_at(old, 0.9)
    assert figures.overall.recall == 0.75 and figures.per_category["a"].precision == 0.0


@pytest.mark.django_db
def test_a_run_keeps_its_counts():
    measured = make_trained().evaluations.get()
    assert thresholds.metrics_at(measured, 0.5).overall.recall == measured.accuracy == 1.0

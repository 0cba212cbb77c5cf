import numpy as np
import pytest

from predictions.predictors.local.heads import Head
from training.evaluation import calibration, significance


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I,
    # method 3
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_those_of_the_literature(hits, count, low, high):
    assert significance.wilson_interval(hits, count) == pytest.approx((low, high), abs=5e-5)


def test_no_sample_has_no_interval_and_all_hits_end_at_one():
    assert significance.wilson_interval(0, 0) is None
    assert significance.wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=5e-5)


def test_the_temperature_can_be_taken_out_of_probabilities():
    random = np.random.default_rng(3)
    head = Head(random.normal(size=(5, 4)), random.normal(size=4), temperature=2.5)
    features = random.normal(size=(20, 5))
    before = Head(head.kernel, head.bias).probabilities(features)
    assert calibration.undo_temperature(head.probabilities(features), 2.5) == pytest.approx(before)


def test_a_probability_of_zero_stays_zero():
    assert calibration.undo_temperature(np.array([[1.0, 0.0]]), 0.5).tolist() == [[1.0, 0.0]]


def test_the_error_is_the_mean_distance_of_confidence_and_accuracy():
    confidences = np.array([0.95, 0.95, 0.95, 0.95, 0.55])
    right = np.array([True, True, True, False, False])
    bins = calibration.reliability_bins(confidences, right, bins=10)
    assert [(each.low, each.count, each.accuracy) for each in bins if each.count] == [
        (0.5, 1, 0.0),
        (0.9, 4, 0.75),
    ]
    assert calibration.expected_calibration_error(bins) == pytest.approx((4 * 0.2 + 1 * 0.55) / 5)


def test_the_edges_belong_to_the_lower_bin_and_one_to_the_last():
    bins = calibration.reliability_bins(np.array([0.5, 1.0]), np.array([True, True]), bins=2)
    assert [each.count for each in bins] == [1, 1]


def test_an_honest_model_has_no_error_and_no_answers_have_none():
    honest = calibration.reliability_bins(np.full(10, 0.8), np.arange(10) < 8)
    assert calibration.expected_calibration_error(honest) == pytest.approx(0)
    assert calibration.expected_calibration_error([]) == 0


def test_a_report_says_what_the_temperature_did():
    sure = np.array([[0.99, 0.01]] * 10)
    right = np.arange(10) < 8
    cooled = np.sqrt(sure) / np.sqrt(sure).sum(axis=1, keepdims=True)
    report = calibration.calibration_report(cooled, right, temperature=2.0)
    assert report["error_before"] == pytest.approx(0.19)
    assert report["error"] < report["error_before"]
    assert sum(each["count"] for each in report["bins"]) == 10
    assert "error_before" not in calibration.calibration_report(cooled, right, None)


def calibration_error_of(probabilities, labels):
    right = probabilities.argmax(axis=1) == labels
    bins = calibration.reliability_bins(probabilities.max(axis=1), right)
    return calibration.expected_calibration_error(bins)


class TestCalibrationError:
    def test_is_the_distance_between_promise_and_truth(self):
        """Ten answers at 0.9, of which six are right; ten at 0.6, of which six are right."""
        probabilities = np.array([[0.9, 0.1]] * 10 + [[0.6, 0.4]] * 10)
        labels = np.array(([0] * 6 + [1] * 4) * 2)
        assert calibration_error_of(probabilities, labels) == pytest.approx(0.15)

    def test_is_nothing_for_one_who_is_sure_and_right(self):
        assert calibration_error_of(np.eye(3), np.arange(3)) == 0

    def test_is_whole_for_one_who_is_sure_and_wrong(self):
        assert calibration_error_of(np.eye(2), np.array([1, 0])) == 1

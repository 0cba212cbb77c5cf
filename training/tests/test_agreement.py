"""The gate for engines in int8."""

import numpy as np
import pytest

from predictions.predictors.local.heads import SIGMOID, Head
from training.trainers.local import agreement

HEAD = Head(12 * np.eye(3, dtype=np.float32), np.zeros(3, np.float32))


def make_vectors(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors of three categories that the head is sure about, and which they show."""
    labels = np.arange(count) % 3
    noise = np.random.default_rng(1).normal(0, 0.05, (count, 3))
    return np.eye(3)[labels] + noise, np.eye(3, dtype=bool)[labels]


def test_the_same_vectors_agree_in_everything():
    vectors, labels = make_vectors()
    report = agreement.compare(vectors, vectors, HEAD, labels)
    assert report.is_good_enough
    assert (report.pictures, report.same_answers, report.accuracy) == (40, 40, 1.0)
    assert report.cosine == pytest.approx(1)
    assert report.calibration_error == report.float_calibration_error


def test_the_rounding_of_int8_is_forgiven():
    vectors, labels = make_vectors()
    assert agreement.compare(np.round(vectors * 16) / 16, vectors, HEAD, labels).is_good_enough


@pytest.mark.parametrize("wrong", [3, 6])
def test_a_tenth_of_the_answers_may_be_others(wrong):
    vectors, labels = make_vectors()
    served = vectors.copy()
    # Hardly another direction, but another answer
    vectors[:wrong] = [[0.51, 0.49, 0.5]]
    served[:wrong] = [[0.49, 0.51, 0.5]]
    report = agreement.compare(served, vectors, HEAD, labels)
    assert report.same_answers == 40 - wrong
    assert report.is_good_enough == (wrong <= 4)


def test_vectors_of_another_network_are_refused():
    vectors, labels = make_vectors()
    assert not agreement.compare(vectors[:, [1, 2, 0]], vectors, HEAD, labels).is_good_enough


def test_what_is_no_number_is_refused():
    vectors, labels = make_vectors()
    assert not agreement.compare(vectors * np.nan, vectors, HEAD, labels).is_good_enough


def test_probabilities_that_are_less_honest_are_refused():
    vectors, labels = make_vectors()
    report = agreement.compare(vectors / 30, vectors, HEAD, labels)
    assert report.same_answers == 40
    assert report.calibration_error > report.float_calibration_error + agreement.MARGIN
    assert not report.is_good_enough


def test_of_noise_only_the_vectors_count():
    vectors, _labels = make_vectors()
    report = agreement.compare(vectors, vectors + 0.01, HEAD, None)
    assert (report.pictures, report.drawn, report.accuracy) == (0, 40, None)
    assert report.is_good_enough
    assert not agreement.compare(-vectors, vectors, HEAD, None).is_good_enough


def test_where_categories_do_not_exclude_each_other_all_must_be_right():
    head = Head(HEAD.kernel, HEAD.bias - 6, activation=SIGMOID)
    vectors, labels = make_vectors()
    labels = labels.copy()
    labels[0] = True  # shows everything, of which two are missed
    report = agreement.compare(vectors, vectors, head, labels)
    assert report.accuracy == pytest.approx(39 / 40)
    assert report.is_good_enough

import math

import numpy as np

from training.evaluation import confident_learning as cl

# By cleanlab 2.9.0 on what `noisy_probabilities` returns: `find_label_issues(labels, probabilities,
# filter_by="confident_learning")`, and the order of the least `get_label_quality_scores(labels,
# probabilities, method="normalized_margin")`
OFF_DIAGONAL = [4, 10, 13, 18, 40, 43, 46, 55, 58, 62, 67, 78]
LEAST_MARGINS = [40, 67, 13, 46, 62, 18, 43, 78, 10, 20, 4, 108, 55, 52, 115, 2, 12, 58]


def noisy_probabilities() -> tuple[np.ndarray, np.ndarray]:
    """Return labels, of which some are wrong, and probabilities that mostly know better."""
    random = np.random.default_rng(14)
    true = random.integers(0, 4, 120)
    given = np.where(random.random(120) < 0.15, random.integers(0, 4, 120), true)
    logits = random.normal(size=(120, 4)) + 2.5 * np.eye(4)[true]
    exponentials = np.exp(logits)
    return given, exponentials / exponentials.sum(axis=1, keepdims=True)


def blobs(count: int = 60, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    return random.normal(size=(count, 8)) + 4 * np.eye(8)[labels], labels


def test_count_and_order_are_those_of_cleanlab():
    labels, probabilities = noisy_probabilities()
    counted = np.flatnonzero(cl.off_diagonal(labels, probabilities)).tolist()
    ordered = [doubt.row for doubt in cl.doubtful_labels(labels, probabilities)]
    assert counted == OFF_DIAGONAL
    assert ordered == LEAST_MARGINS
    assert len(ordered) == math.ceil(1.5 * len(counted))


def test_wrong_labels_are_found_and_right_ones_left_alone():
    features, labels = blobs()
    given = labels.copy()
    given[[4, 20, 33]] = (given[[4, 20, 33]] + 1) % 3
    features[[4, 20, 33]] *= 1.5  # as clear as can be
    doubts = cl.find_doubts(features, given, range(60), 3)
    assert {doubt.row for doubt in doubts[:3]} == {4, 20, 33}
    assert len(doubts) <= 6
    assert all(doubt.suggested == labels[doubt.row] for doubt in doubts[:3])
    assert all(doubt.margin > 0 for doubt in doubts)
    assert cl.find_doubts(features, labels, range(60), 3) == []


def test_a_twin_with_the_same_wrong_label_does_not_vouch_for_it():
    features, labels = blobs()
    features[0] *= 1.5
    features[1], labels[1] = features[0], labels[0]
    given = labels.copy()
    given[[0, 1]] = 1
    groups = [0, 0, *range(2, 60)]
    folds = cl.assign_folds(given, groups)
    assert folds[0] == folds[1]
    doubts = cl.find_doubts(features, given, groups, 3)
    assert {doubt.row for doubt in doubts[:2]} == {0, 1}


def test_each_class_is_spread_over_the_folds():
    labels = np.repeat([0, 1, 2], 10)
    folds = cl.assign_folds(labels, range(30))
    for label in range(3):
        assert np.bincount(folds[labels == label], minlength=cl.FOLDS).tolist() == [2] * 5


def test_large_data_sets_are_judged_in_parts(monkeypatch):
    features, labels = blobs(120)
    given = labels.copy()
    given[7] = (given[7] + 1) % 3
    features[7] *= 1.5
    monkeypatch.setattr(cl, "MOST_AT_ONCE", 60)
    told = []
    doubts = cl.find_doubts(
        features,
        given,
        range(120),
        3,
        progress=lambda done, total, note="": told.append((done, total)),
    )
    assert doubts[0].row == 7
    assert told[-1][0] == told[-1][1]


def test_where_only_one_class_is_left_nothing_is_doubted():
    features, labels = blobs(10, 2)
    assert cl.find_doubts(features[:1], labels[:1], [0], 2) == []

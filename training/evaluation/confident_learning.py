"""Confident learning: which labels are likely to be wrong, by what a model of the others says.

Each sample is judged by a head that has not learned from it, nor from its near duplicates. A label
is counted as wrong where another class is as probable as it usually is for samples that carry its
label themselves; as many labels as that and half as many again are shown to people, those by the
largest margins. What errs is nearer to the truth in number than one by one.

Source: Northcutt, Jiang & Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset
Labels", JAIR 70, arXiv:1911.00068; the details are those of cleanlab: the count that of
`find_label_issues(filter_by="confident_learning")`, the order its `normalized_margin`. A test
compares both.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from common.progress import Progress, no_progress
from training.trainers.local.head import fit_head

FOLDS = 5
# A head that is free to fit every label learns the wrong ones as well; bench/README.md has what
# weaker penalties find
L2 = 3.0
EXTRA = 1.5  # shown for each that is counted: a look costs less than a wrong label that stays
MOST_AT_ONCE = 20_000  # samples that judge each other: what bounds memory


@dataclass(frozen=True)
class Doubt:
    """A label that is likely to be wrong."""

    row: int
    suggested: int  # class
    quality: float  # the probability of the given label
    probability: float  # of the suggested class

    @property
    def margin(self) -> float:
        """Return by how much the suggested class is more probable than the given one."""
        return self.probability - self.quality


def assign_folds(labels: np.ndarray, groups: Sequence[Hashable], folds: int = FOLDS) -> np.ndarray:
    """Return a fold for each sample: groups stay together, classes are spread evenly.

    Args:
        labels: class numbers, shape (N,).
        groups: what samples that belong together have in common; their order decides.
    """
    counts: dict[Hashable, Counter[int]] = {}
    for group, label in zip(groups, labels.tolist(), strict=True):
        counts.setdefault(group, Counter())[label] += 1
    # One class after the other, dealt like cards
    ordered = sorted(counts, key=lambda group: counts[group].most_common(1)[0][0])
    fold_of = {group: place % folds for place, group in enumerate(ordered)}
    return np.array([fold_of[group] for group in groups])


def out_of_fold_probabilities(
    features: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    classes: int,
    *,
    l2: float = L2,
    progress: Progress = no_progress,
) -> np.ndarray:
    """Return for each sample the probabilities by a head that learned from the other folds.

    Args:
        features: shape (N, D).
        labels: class numbers, shape (N,).

    Returns:
        Shape (N, `classes`); rows of NaN where the other folds show fewer than two classes.
    """
    probabilities = np.full((len(labels), classes), np.nan)
    empty = features[:0], labels[:0]
    used = np.unique(folds)
    for place, fold in enumerate(used):
        progress(place, len(used))
        held = folds == fold
        present = np.unique(labels[~held])
        if len(present) < 2:
            continue
        # A head knows only classes that it has learned; the others have no chance in this fold
        learned = np.searchsorted(present, labels[~held])
        fitted = fit_head((features[~held], learned), empty, len(present), grid=[l2])
        found = np.zeros((int(held.sum()), classes))
        found[:, present] = fitted.head.probabilities(features[held])
        probabilities[held] = found
    progress(len(used), len(used))
    return probabilities


def confident_thresholds(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return for each class its mean probability among the samples that carry its label.

    Infinite for a class that no sample carries: nobody can be confident of it.
    """
    classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=classes)
    own = probabilities[np.arange(len(labels)), labels]
    sums = np.bincount(labels, own, minlength=classes)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)


def off_diagonal(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return which samples are off the diagonal of the confident joint, as booleans of shape (N,).

    Args:
        labels: class numbers, shape (N,).
        probabilities: out of fold, shape (N, K), without NaN.
    """
    # As cleanlab: a little below, so that equal numbers do not fall apart by rounding
    confident = probabilities >= confident_thresholds(labels, probabilities) - 1e-6
    most_probable = probabilities.argmax(axis=1)
    single = confident.sum(axis=1) == 1
    guess = np.where(single, confident.argmax(axis=1), most_probable)
    # A sample whose label is the most probable class after all is left alone
    found: np.ndarray = confident.any(axis=1) & (guess != labels) & (most_probable != labels)
    return found


def doubtful_labels(
    labels: np.ndarray, probabilities: np.ndarray, *, extra: float = EXTRA
) -> list[Doubt]:
    """Return the labels to look at, the most doubtful first.

    Args:
        labels: class numbers, shape (N,).
        probabilities: out of fold, shape (N, K); rows of NaN are passed over.
        extra: how many for each one off the diagonal of the confident joint.
    """
    rows = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
    given, scores = labels[rows], probabilities[rows]
    most = math.ceil(extra * int(off_diagonal(given, scores).sum()))
    own = scores[np.arange(len(given)), given]
    margin = scores.max(axis=1) - own
    ordered = [place for place in np.argsort(-margin, kind="stable")[:most] if margin[place] > 0]
    best = scores.argmax(axis=1)
    return [
        Doubt(int(rows[place]), int(best[place]), float(own[place]), float(scores[place].max()))
        for place in ordered
    ]


def find_doubts(
    features: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[Hashable],
    classes: int,
    *,
    l2: float = L2,
    progress: Progress = no_progress,
) -> list[Doubt]:
    """Return the doubtful labels of a data set, the most doubtful first.

    More than `MOST_AT_ONCE` samples are judged in parts, by their groups, each by the others of
    its part.
    """
    parts = -(-len(labels) // MOST_AT_ONCE)
    part_of = assign_folds(labels, groups, parts)
    found = []
    for part in range(parts):
        rows = np.flatnonzero(part_of == part)
        folds = assign_folds(labels[rows], [groups[row] for row in rows.tolist()])

        def told(done: int, total: int, note: str = "", part: int = part) -> None:
            progress(part * total + done, parts * total, note)

        probabilities = out_of_fold_probabilities(
            features[rows], labels[rows], folds, classes, l2=l2, progress=told
        )
        found += [
            Doubt(int(rows[doubt.row]), doubt.suggested, doubt.quality, doubt.probability)
            for doubt in doubtful_labels(labels[rows], probabilities)
        ]
    return sorted(found, key=lambda doubt: (-doubt.margin, doubt.row))

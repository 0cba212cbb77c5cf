"""What more labels are likely to bring: the learning curve of a data set, and how it goes on.

Heads learn from parts of the train split and are measured on the other splits. Their error falls by
an inverse power law of the number of labels, which is fitted and continued. Source: Figueroa et al.
2012, "Predicting sample size required for classification performance", doi:10.1186/1472-6947-12-8;
Cortes et al. 1993, "Learning curves: asymptotic values and rate of convergence". The intervals hold
what differs by the part that was drawn and by the pictures that measure (bootstrap); how far a
curve may leave the law, they do not know.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from common.progress import Progress, no_progress
from training.data.datasets import TRAIN_PERCENT
from training.trainers.local import head

MORE = (10, 50)  # labels that are asked about
PARTS = (0.2, 0.35, 0.5, 0.7, 0.85, 1.0)  # of the train split that heads learn from
DRAWS, CATEGORY_DRAWS = 10, 5
MOST_ROWS = 2_000  # of either side, so that time and memory stay bounded
MOST_CATEGORIES = 20  # asked about one by one: those found least often
FEWEST = 10  # pictures to learn from in all, and pictures that measure a category
COMPONENTS = 256
SECONDS = 60.0  # of CPU, after which no further category is asked about
RESAMPLES = 300
POWERS = np.arange(0.1, 1.55, 0.1)
ITERATIONS = 60

Gain = tuple[float, float, float]  # in shares, with the 95 % interval
Part = tuple[np.ndarray, np.ndarray]  # vectors (N, D) and class numbers (N,)


@dataclass(frozen=True)
class CategoryOutlook:
    """What more labels of one category are likely to add to its recall."""

    name: str
    labels: int
    recall: float
    gains: dict[str, Gain]


@dataclass(frozen=True)
class Outlook:
    """A learning curve, and what more labels are likely to add to the accuracy.

    `labels` are the numbers of training labels, `accuracy` the mean at each, `forecast` the
    accuracies to expect with `MORE` labels. `gains` are by those numbers, as texts for JSON.
    """

    labels: list[int]
    accuracy: list[float]
    forecast: list[float]
    gains: dict[str, Gain]
    categories: list[CategoryOutlook]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_outlook(
    train: Part, held_out: Part, names: Sequence[str], progress: Progress = no_progress
) -> Outlook | None:
    """Return the outlook of a data set, or None where there is too little to tell.

    Args:
        names: of the classes, in the order of their numbers.
    """
    rng = np.random.default_rng(0)
    train, held_out = _thinned(train, rng), _thinned(held_out, rng)
    if len(train[1]) < FEWEST or len(held_out[1]) < FEWEST or len(np.unique(train[1])) < 2:
        return None
    train, held_out = _rotated(train, held_out)
    started = time.process_time()
    # One thread: the products are small, and others work on this machine as well
    with threadpool_limits(1, user_api="blas"):
        labels, right = _curve(train, held_out, len(names), rng, progress)
        errors = 1 - right.mean(axis=(0, 2))
        gains = _gains(labels, right, labels[-1], rng)
        recalls = right[:, -1].mean(axis=0)
        categories: list[CategoryOutlook] = []
        for place in _asked_about(train[1], held_out[1], recalls, len(names)):
            if time.process_time() - started > SECONDS:
                break
            progress(len(categories), MOST_CATEGORIES, names[place])
            categories.append(_category(place, train, held_out, names, rng))
    law = fit_power_law(labels, errors)
    return Outlook(
        labels=labels.tolist(),
        accuracy=(1 - errors).round(4).tolist(),
        forecast=[
            round(float(1 - errors[-1] + law.gain(labels[-1], _into_train(more))), 4)
            for more in MORE
        ],
        gains=gains,
        categories=categories,
    )


@dataclass(frozen=True)
class PowerLaw:
    """The error with n labels: `floor` + `factor` · n^-`power`."""

    floor: float
    factor: float
    power: float

    def gain(self, labels: float, more: float) -> float:
        """Return by how much the error falls with so many more labels."""
        return self.factor * (labels**-self.power - (labels + more) ** -self.power)


def fit_power_law(labels: np.ndarray, errors: np.ndarray) -> PowerLaw:
    """Return the law whose squared deviation is the least, its floor and factor not negative.

    Args:
        labels: shape (S,), positive.
        errors: shape (S,), in [0, 1].
    """
    from scipy.optimize import nnls  # a second to import, which web processes need not pay

    best, found = np.inf, PowerLaw(float(errors.mean()), 0.0, 1.0)
    for power in POWERS:
        (floor, factor), deviation = nnls(
            np.stack([np.ones(len(labels)), labels**-power], 1), errors
        )
        if deviation < best - 1e-12:
            best, found = deviation, PowerLaw(float(floor), float(factor), float(power))
    return found


def _curve(
    train: Part, held_out: Part, classes: int, rng: np.random.Generator, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers of labels (S,), and which held-out pictures were right (draws, S, M)."""
    labels = np.unique([max(FEWEST // 2, round(part * len(train[1]))) for part in PARTS])
    right = np.empty((DRAWS, len(labels), len(held_out[1])), dtype=bool)
    for draw in range(DRAWS):
        progress(draw, DRAWS, "")
        # Smaller parts lie in larger ones; at random, as labels come
        order = rng.permutation(len(train[1]))
        for step, count in enumerate(labels):
            right[draw, step] = _answers(train, order[:count], held_out[0], classes) == held_out[1]
    return labels.astype(float), right


def _category(
    place: int, train: Part, held_out: Part, names: Sequence[str], rng: np.random.Generator
) -> CategoryOutlook:
    """Return the outlook of one category: parts of its labels, with all those of the others."""
    own, others = np.flatnonzero(train[1] == place), np.flatnonzero(train[1] != place)
    asked = held_out[0][held_out[1] == place]
    labels = np.unique([max(1, round(part * len(own))) for part in PARTS[::2] + PARTS[-1:]])
    right = np.empty((CATEGORY_DRAWS, len(labels), len(asked)), dtype=bool)
    for draw in range(CATEGORY_DRAWS):
        order = rng.permutation(own)
        for step, count in enumerate(labels):
            rows = np.concatenate([others, order[:count]])
            right[draw, step] = _answers(train, rows, asked, len(names)) == place
    return CategoryOutlook(
        name=names[place],
        labels=len(own),
        recall=round(float(right[:, -1].mean()), 4),
        gains=_gains(labels.astype(float), right, len(own), rng),
    )


def _gains(
    labels: np.ndarray, right: np.ndarray, now: float, rng: np.random.Generator
) -> dict[str, Gain]:
    """Return what more labels are likely to bring, from answers of shape (draws, S, M).

    What a certain handful of labels brings varies more than what is to be expected of any: by as
    much as the second half of the curve varies from draw to draw, where it has not come to what
    all draws end with.
    """
    draws, _steps, pictures = right.shape
    shares = right.mean(axis=2)
    half, late = (int(np.abs(labels - now * part).argmin()) for part in (0.5, 0.85))
    steps = shares[:, late] - shares[:, half]
    residuals = (steps - steps.mean()) / np.sqrt(max(labels[late] - labels[half], 1))
    found = np.empty((RESAMPLES, len(MORE)))
    for number in range(RESAMPLES):
        some = right[rng.integers(draws, size=draws)].mean(axis=0)
        errors = 1 - some[:, rng.integers(pictures, size=pictures)].mean(axis=1)
        law = fit_power_law(labels, errors)
        for place, more in enumerate(map(_into_train, MORE)):
            luck = residuals[rng.integers(len(residuals))] * np.sqrt(more)
            found[number, place] = law.gain(now, more) + luck
    law = fit_power_law(labels, 1 - shares.mean(axis=0))
    low, high = np.percentile(found, [2.5, 97.5], axis=0)
    return {
        str(more): (
            round(law.gain(now, _into_train(more)), 4),
            round(float(low[place]), 4),
            round(float(high[place]), 4),
        )
        for place, more in enumerate(MORE)
    }


def _into_train(labels: int) -> float:
    """Return how many of so many new labels are to learn from: the others validate and test."""
    return labels * TRAIN_PERCENT / 100


def _asked_about(
    train: np.ndarray, held_out: np.ndarray, recalls: np.ndarray, classes: int
) -> list[int]:
    """Return the classes to ask about one by one, those that are found least often first."""
    known = [
        place
        for place in range(classes)
        if (held_out == place).sum() >= FEWEST // 2 and (train == place).sum() >= 2
    ]
    return sorted(known, key=lambda place: float(recalls[held_out == place].mean()))[
        :MOST_CATEGORIES
    ]


def _answers(train: Part, rows: np.ndarray, asked: np.ndarray, classes: int) -> np.ndarray:
    """Return the class numbers that a head says which learned from these rows."""
    from scipy.optimize import minimize

    vectors, labels = train[0][rows], train[1][rows]
    width = vectors.shape[1]
    optimum = minimize(
        head.loss_and_gradient,
        np.zeros((width + 1) * classes),
        args=(vectors, labels, head.balanced_weights(labels, classes), classes, head.L2_DEFAULT),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": ITERATIONS, "maxcor": 10, "gtol": 1e-4},
    )
    kernel, bias = optimum.x[:-classes].reshape(width, classes), optimum.x[-classes:]
    answers: np.ndarray = (asked @ kernel + bias).argmax(axis=1)
    return answers


def _rotated(train: Part, held_out: Part) -> tuple[Part, Part]:
    """Return both on the main axes of the standardised train split: a head does the same on them.

    The penalty of a head does not change by a rotation, and few axes are quicker to learn on.
    """
    mean, deviation = train[0].mean(axis=0), train[0].std(axis=0)
    scale = 1 / np.maximum(deviation, max(float(np.median(deviation)) * 0.1, 1e-6))
    centred = (train[0] - mean) * scale
    # Of the smaller of the two matrices of products
    _values, axes = np.linalg.eigh(centred @ centred.T)
    axes = axes[:, ::-1][:, :COMPONENTS]
    directions = centred.T @ axes
    lengths = np.linalg.norm(directions, axis=0)
    directions = directions[:, lengths > 1e-6] / lengths[lengths > 1e-6]
    first, second = (((part[0] - mean) * scale) @ directions for part in (train, held_out))
    return (first.astype(np.float64), train[1]), (second.astype(np.float64), held_out[1])


def _thinned(part: Part, rng: np.random.Generator) -> Part:
    if len(part[1]) <= MOST_ROWS:
        return part
    rows = np.sort(rng.choice(len(part[1]), MOST_ROWS, replace=False))
    return part[0][rows], part[1][rows]

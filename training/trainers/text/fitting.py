"""Fitting a text model's heads: one on vectors, one on TF-IDF, and how much each counts.

The head on vectors is the one that pictures have (`training.trainers.local.head`). TF-IDF has tens
of thousands of columns of which a text has some hundred, so its head is fitted with the same loss
on a sparse matrix.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from django.utils.translation import gettext as _

from common.progress import Progress, no_progress, subrange
from predictions.predictors.text.model import TextHead
from predictions.predictors.text.ngrams import Row
from training.trainers.local import head, losses
from training.trainers.local.head import MIN_TO_CHOOSE

if TYPE_CHECKING:
    import scipy.sparse

# Strong to weak; TF-IDF is of unit length, so these are weaker than those of vectors
L2_GRID = (1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
L2_DEFAULT = 1e-4
ITERATIONS = 100
# How much the vectors count: alone, joined with the terms, or not at all
SHARES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
SHARE_DEFAULT = 0.5

Split = tuple[np.ndarray, Sequence[Row], np.ndarray]  # vectors (N, D), TF-IDF, labels


@dataclass(frozen=True)
class TermsFit:
    """The logits of TF-IDF: kernel (V, K) and bias (K,)."""

    kernel: np.ndarray
    bias: np.ndarray
    l2: float
    validation_loss: float | None


@dataclass(frozen=True)
class FittedText:
    """The joined head, calibrated, and what it was chosen from: the loss with each share."""

    head: TextHead
    l2: float
    term_l2: float
    losses: Sequence[float]
    validation_losses: Sequence[float]
    validation_loss: float | None
    by_share: Sequence[tuple[float, float]] = ()


def fit_text_head(
    train: Split,
    validation: Split,
    terms: int,
    classes: int,
    *,
    progress: Progress = no_progress,
) -> FittedText:
    """Fit both heads, weigh them in validation, and calibrate what they say together.

    With fewer than `MIN_TO_CHOOSE` validation samples both count the same.

    Args:
        terms: how many the vocabulary has.
    """
    vectors, rows, labels = train
    of_vectors = head.fit_head(
        (vectors, labels),
        (validation[0], validation[2]),
        classes,
        progress=subrange(progress, 0, 40),
    )
    of_terms = fit_terms(
        (as_matrix(rows, terms), labels),
        (as_matrix(validation[1], terms), validation[2]),
        classes,
        progress=subrange(progress, 40, 95),
    )
    joined = TextHead(
        of_vectors.head.kernel / np.float32(of_vectors.head.temperature),
        of_vectors.head.bias / np.float32(of_vectors.head.temperature),
        of_terms.kernel,
        of_terms.bias,
        share=SHARE_DEFAULT,
        activation=losses.activation_for(labels),
    )
    by_share = []
    if len(validation[2]) >= MIN_TO_CHOOSE:
        candidates = [calibrated(replace(joined, share=share), validation) for share in SHARES]
        by_share = [(each.share, loss_of(each, validation)) for each in candidates]
        joined = candidates[int(np.argmin([loss for _share, loss in by_share]))]
    else:
        joined = calibrated(joined, validation)
    progress(100, 100, _("Learning the categories"))
    return FittedText(
        joined,
        of_vectors.l2,
        of_terms.l2,
        of_vectors.losses,
        of_vectors.validation_losses,
        loss_of(joined, validation) if len(validation[2]) else None,
        by_share,
    )


def calibrated(fitted: TextHead, validation: Split) -> TextHead:
    """Return the head with the temperature that suits the validation split."""
    vectors, rows, labels = validation
    logits = fitted.logits(vectors, rows) * fitted.temperature
    return replace(fitted, temperature=head.fit_temperature(logits, labels))


def loss_of(fitted: TextHead, split: Split) -> float:
    """Return the mean negative log-likelihood of the true classes."""
    vectors, rows, labels = split
    return float(losses.sample_losses(fitted.logits(vectors, rows), labels).mean())


def as_matrix(rows: Sequence[Row], terms: int) -> "scipy.sparse.csr_matrix":
    """Return rows as a sparse matrix, shape (N, `terms`), float64."""
    import scipy.sparse  # when it is needed: every process that checks its settings reads this

    ends = np.cumsum([0, *(len(row.places) for row in rows)])
    values = np.concatenate([np.empty(0), *(row.values for row in rows)])
    places = np.concatenate([np.empty(0, np.int64), *(row.places for row in rows)])
    return scipy.sparse.csr_matrix((values, places, ends), shape=(len(rows), terms))


def fit_terms(
    train: tuple["scipy.sparse.csr_matrix", np.ndarray],
    validation: tuple["scipy.sparse.csr_matrix", np.ndarray],
    classes: int,
    *,
    progress: Progress = no_progress,
) -> TermsFit:
    """Fit the head on TF-IDF with one penalty for all terms, and with one by how telling each is.

    The one that does better in validation is kept; without a choice it is the first. Telling terms
    help where words decide one by one, as in reviews, and hurt where they do not.
    """
    features, labels = train
    plain = np.ones((features.shape[1], classes))
    fits = [_fit_terms(train, validation, classes, plain, subrange(progress, 0, 50))]
    if fits[0].validation_loss is not None:
        telling = log_count_ratios(features, labels, classes)
        fits.append(_fit_terms(train, validation, classes, telling, subrange(progress, 50, 100)))
    return min(fits, key=lambda fit: fit.validation_loss or 0.0)


def _fit_terms(
    train: tuple["scipy.sparse.csr_matrix", np.ndarray],
    validation: tuple["scipy.sparse.csr_matrix", np.ndarray],
    classes: int,
    sizes: np.ndarray,
    progress: Progress,
) -> TermsFit:
    """Fit a head per regularisation strength, each from the one before; keep the best.

    The grid is left when a weaker strength did worse than the best so far. The kernel is fitted in
    units of `sizes`, of its own shape (V, K): a larger weight of a large one costs no more.
    """
    from scipy.optimize import minimize

    features, labels = train
    choosing = len(validation[1]) >= MIN_TO_CHOOSE
    strengths = L2_GRID if choosing else (L2_DEFAULT,)
    weights = head.sample_weights(labels, classes)
    units = np.concatenate([sizes.ravel(), np.ones(classes)])
    parameters = np.zeros(len(units))
    best: TermsFit | None = None

    def loss_and_gradient(parameters: np.ndarray, l2: float) -> tuple[float, np.ndarray]:
        loss, gradient = head.loss_and_gradient(
            parameters * units, features, labels, weights, classes, 0.0
        )
        kernel = parameters[:-classes]
        gradient *= units
        gradient[:-classes] += l2 * kernel
        return loss + l2 / 2 * float(np.square(kernel).sum()), gradient

    for place, l2 in enumerate(strengths):

        def tell(_parameters: np.ndarray, place: int = place) -> None:
            progress(place, len(strengths), _("Learning the categories"))

        tell(parameters)
        parameters = minimize(
            loss_and_gradient,
            parameters,
            args=(l2,),
            jac=True,
            method="L-BFGS-B",
            callback=tell,
            options={"maxiter": ITERATIONS, "maxcor": 10, "ftol": 1e-7, "gtol": 1e-5},
        ).x
        kernel = (parameters * units)[:-classes].reshape(-1, classes).astype(np.float32)
        bias = parameters[-classes:].astype(np.float32)
        loss = None
        if choosing:
            logits = validation[0] @ kernel.astype(np.float64) + bias
            loss = float(losses.sample_losses(logits, validation[1]).mean())
        fit = TermsFit(kernel, bias, l2, loss)
        before = best.validation_loss if best else None
        if loss is not None and before is not None and loss >= before:
            break  # weaker penalties only fit the training split more closely
        best = fit
    assert best is not None  # noqa: S101 (tells the type checker: there is a strength)
    return best


def log_count_ratios(
    features: "scipy.sparse.csr_matrix", labels: np.ndarray, classes: int
) -> np.ndarray:
    """Return how telling each term is of each category, shape (V, K): of mean 1, never negative.

    The size of naive Bayes' weight: the logarithm of how much more or less often a term stands in
    texts of the category than in the others, by what all terms stand there. As many texts of
    either are added in which each term stands once, so that a rare term does not seem certain.

    Source: Wang & Manning 2012, "Baselines and Bigrams: Simple, Good Sentiment and Topic
    Classification", ACL, section 2.3.
    """
    stands = (features > 0).astype(np.float64)
    shown = labels if labels.ndim == 2 else np.eye(classes)[labels]
    inside = stands.T @ shown + 1
    outside = stands.sum(axis=0).reshape(-1, 1) - (inside - 1) + 1
    ratios = np.abs(np.log(inside / inside.sum(axis=0)) - np.log(outside / outside.sum(axis=0)))
    return np.asarray(ratios / max(float(ratios.mean()), 1e-12))

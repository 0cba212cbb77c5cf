"""Fitting the head: softmax regression on feature vectors, and its temperature; by SciPy alone.

Where categories do not exclude each other (labels of shape (N, K), see `likelihood`) each has a
logistic regression.

Fitted with L-BFGS in float64 on features that are centred and scaled by one number each, with an L2
penalty on the weights. The centring and scaling end up in the weights, so that the head applies to
raw feature vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from django.utils.translation import gettext as _
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from common.processes import usable_core_count
from common.progress import Progress, no_progress
from predictions.predictors.local.heads import Head
from training.trainers.local import losses

# Strong to weak: each fit starts from the one before
L2_GRID: tuple[float, ...] = (1.0, 3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
L2_DEFAULT = 1e-2
# Towards a prior: without a choice by validation, the prior weighs as much as so many samples
PRIOR_SAMPLES = 10.0
PRIOR_GRID = (1e1, 3.0, *L2_GRID)
ITERATIONS = 200
MIN_TO_CHOOSE = 10  # validation samples below which choosing would be guessing
# Products per pass; with fewer, handing work to threads costs more than it saves
ONE_THREAD_BELOW = 50_000_000
TEMPERATURES = (0.25, 8.0)  # the bounds of the search


@dataclass(frozen=True)
class RegularisationFit:
    """What one fit found, and how it came there."""

    head: Head
    l2: float
    validation_loss: float | None
    losses: Sequence[float] = ()
    validation_losses: Sequence[float] = ()


@dataclass(frozen=True)
class FittedHead:
    """The chosen head, calibrated, and what it was chosen from."""

    head: Head
    l2: float
    fits: Sequence[RegularisationFit]
    losses: Sequence[float]
    validation_losses: Sequence[float]
    validation_loss: float | None = None


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return a weight per example, mean 1, so that every class present weighs the same in total."""
    counts = np.bincount(labels, minlength=classes)
    present = np.count_nonzero(counts)
    return (len(labels) / (present * np.maximum(counts, 1)))[labels]


def sample_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the weight of each sample: balanced among exclusive classes, else the same for all.

    Independent probabilities are calibrated one by one, and weights would shift them all.
    """
    return np.ones(len(labels)) if labels.ndim == 2 else balanced_weights(labels, classes)


def loss_and_gradient(
    parameters: np.ndarray,
    features: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    classes: int,
    l2: float,
    prior: np.ndarray | None = None,
) -> tuple[float, np.ndarray]:
    """Return the penalised cross-entropy of softmax (or logistic) regression, and its gradient.

    Args:
        parameters: kernel (D, K) then bias (K,), flattened.
        features: (N, D).
        labels: (N,) integers below `classes`, or (N, `classes`) of 0 and 1.
        weights: (N,), of mean 1.
        l2: strength; the penalty is l2 / 2 times the squared kernel, the bias goes free.
        prior: parameters; the penalty is then l2 / 2 times the squared distance to them, bias
            included: where every class is known, so is how often to expect it.
    """
    count, width = features.shape
    # SciPy optimises one flat vector: the kernel, then the bias
    kernel = parameters[: width * classes].reshape(width, classes)
    sample_losses, residual = losses.losses_and_residuals(
        features @ kernel + parameters[width * classes :], labels
    )
    loss = (weights * sample_losses).sum() / count
    # In place, as this runs in every step of every fit
    residual *= (weights / count)[:, None]
    gradient = np.concatenate([(features.T @ residual).ravel(), residual.sum(axis=0)])
    # What is penalised: all that differs from the prior, or else the kernel
    penalised = parameters[: width * classes] if prior is None else parameters - prior
    loss += l2 / 2 * np.square(penalised).sum()
    gradient[: len(penalised)] += l2 * penalised
    return float(loss), gradient


def cross_entropy(head: Head, features: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log-likelihood of the true classes."""
    return float(losses.sample_losses(head.logits(features) / head.temperature, labels).mean())


def fit_head(
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    classes: int,
    *,
    grid: Sequence[float] = (),
    iterations: int = ITERATIONS,
    progress: Progress = no_progress,
    prior: Head | None = None,
) -> FittedHead:
    """Fit a head per regularisation strength, keep the best in validation, and calibrate it.

    With fewer than `MIN_TO_CHOOSE` validation samples it is one fit, of the default strength or of
    the only one in `grid`. The
    grid is left when two weaker strengths in a row did worse than the best so far.

    Args:
        train: features (N, D) and labels (N,) or (N, K); at least one sample of every class.
        validation: the same; may be empty, and classes may be missing.
        grid: strengths to choose from; default L2_GRID, or PRIOR_GRID.
        prior: a head on raw features that is known beforehand. The penalty pulls towards it
            instead of towards zero, so that it holds where there are no samples and is outweighed
            where there are many; classes without samples keep what it says. Source: L2-SP, Li et
            al. 2018, "Explicit inductive bias for transfer learning with convolutional networks",
            arXiv:1802.01483.
    """
    import scipy.optimize  # noqa: F401 (brings a BLAS of its own, which must be there before it can be limited)

    # A handful of samples would choose the strength by luck
    choosing = len(validation[1]) >= MIN_TO_CHOOSE
    scaler = _Scaler.of(train[0])
    features = scaler.apply(train[0])
    # From zeros, under which every class is equally probable: no seed is needed
    parameters = np.zeros((features.shape[1] + 1) * classes)
    anchor = None
    default, usual_grid = L2_DEFAULT, L2_GRID
    if prior:
        anchor = parameters = scaler.parameters(prior)
        default, usual_grid = PRIOR_SAMPLES / len(features), PRIOR_GRID
    only = list(grid) if len(grid) == 1 else [default]
    strengths = sorted(grid or usual_grid, reverse=True) if choosing else only
    fits = []
    threads = 1 if features.size * classes < ONE_THREAD_BELOW else usable_core_count()
    with threadpool_limits(threads, user_api="blas"):
        for place, l2 in enumerate(strengths):
            progress(place, len(strengths), _("Learning the categories"))
            fit, parameters = _fit(
                parameters,
                (features, train[1]),
                validation,
                classes,
                l2,
                iterations,
                scaler,
                anchor,
            )
            fits.append(fit)
            # Weaker penalties only fit the training split more closely from here on
            if choosing and len(fits) - 1 - _best(fits) >= 2:
                break
        best = fits[_best(fits)] if choosing else fits[0]
        # Fitted on held-out samples: on those that it has learned from any head looks too sure
        temperature = fit_temperature(best.head.logits(validation[0]), validation[1])
        head = replace(best.head, temperature=temperature)
        after = cross_entropy(head, *validation) if len(validation[1]) else None
    progress(len(strengths), len(strengths), _("Learning the categories"))
    return FittedHead(head, best.l2, fits, best.losses, best.validation_losses, after)


def _best(fits: Sequence[RegularisationFit]) -> int:
    losses = [fit.validation_loss for fit in fits]
    return int(np.argmin([np.inf if loss is None else loss for loss in losses]))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature that calibrates the probabilities, fitted on held-out samples.

    One number that divides the logits; the order of the classes stays. A prior worth one sample
    holds it near 1, so that a handful of samples cannot make a model sure of everything.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599, section
    4.2.
    """
    if not len(labels):
        return 1.0

    def regret(log_temperature: float) -> float:
        return float(
            losses.sample_losses(logits / np.exp(log_temperature), labels).sum()
            + log_temperature**2 / 2
        )

    # Searched in the logarithm, in which halving is as far as doubling
    low, high = np.log(TEMPERATURES)
    from scipy.optimize import minimize_scalar  # a second to import, and every command would pay it

    return float(np.exp(minimize_scalar(regret, bounds=(low, high), method="bounded").x))


@dataclass(frozen=True)
class _Scaler:
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "_Scaler":
        """Centre and scale to unit deviation; a feature that hardly varies is not blown up."""
        deviation = features.std(axis=0, dtype=np.float64)
        floor = max(float(np.median(deviation)) * 0.1, 1e-6)
        return cls(features.mean(axis=0, dtype=np.float64), 1 / np.maximum(deviation, floor))

    def apply(self, features: np.ndarray) -> np.ndarray:
        return (features.astype(np.float64) - self.mean) * self.scale

    def head(self, parameters: np.ndarray, classes: int, activation: str) -> Head:
        """Return the head that does on raw features what these parameters do on scaled ones."""
        kernel, bias = parameters[:-classes].reshape(-1, classes), parameters[-classes:]
        kernel = kernel * self.scale[:, None]
        bias = (bias - self.mean @ kernel).astype(np.float32)
        return Head(kernel.astype(np.float32), bias, activation=activation)

    def parameters(self, head: Head) -> np.ndarray:
        """Return the parameters that do on scaled features what this head does on raw ones."""
        kernel = head.kernel.astype(np.float64)
        bias = head.bias + self.mean @ kernel
        return np.concatenate([(kernel / self.scale[:, None]).ravel(), bias])


def _fit(
    start: np.ndarray,
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    classes: int,
    l2: float,
    iterations: int,
    scaler: _Scaler,
    prior: np.ndarray | None,
) -> tuple[RegularisationFit, np.ndarray]:
    train_losses: list[float] = []
    validation_losses: list[float] = []
    activation = losses.activation_for(train[1])

    # SciPy passes the loss only to a callback whose parameter has exactly this name
    def note(intermediate_result: object) -> None:
        train_losses.append(float(intermediate_result.fun))  # type: ignore[attr-defined]
        if len(validation[1]):
            head = scaler.head(intermediate_result.x, classes, activation)  # type: ignore[attr-defined]
            validation_losses.append(cross_entropy(head, *validation))

    from scipy.optimize import minimize

    optimum = minimize(
        loss_and_gradient,
        start,
        args=(*train, sample_weights(train[1], classes), classes, l2, prior),
        jac=True,
        method="L-BFGS-B",
        callback=note,
        options={"maxiter": iterations, "maxcor": 20, "ftol": 1e-9, "gtol": 1e-5},
    )
    head = scaler.head(optimum.x, classes, activation)
    loss = cross_entropy(head, *validation) if len(validation[1]) else None
    return RegularisationFit(head, l2, loss, train_losses, validation_losses), optimum.x

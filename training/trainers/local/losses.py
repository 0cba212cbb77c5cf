"""The losses of a head, for both of its activations.

SOFTMAX: the categories exclude each other, labels are of shape (N,), integers below K. SIGMOID:
they do not (one-vs-rest logistic regression), labels are of shape (N, K), 1 where a category is
shown, or 0.
"""

import numpy as np

from predictions.predictors.local.heads import SIGMOID, SOFTMAX, log_softmax, sigmoid


def activation_for(labels: np.ndarray) -> str:
    """Return which of the two labels of this shape are for."""
    return SIGMOID if labels.ndim == 2 else SOFTMAX


def sample_losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the negative log-likelihood of every sample, shape (N,); of SIGMOID, summed over K."""
    if activation_for(labels) == SIGMOID:
        # Minus log(sigmoid(z)) where y is 1, minus log(1 - sigmoid(z)) where it is 0
        return (np.logaddexp(0, logits) - labels * logits).sum(axis=1)
    return -log_softmax(logits)[np.arange(len(labels)), labels]


def losses_and_residuals(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `sample_losses` and their derivative by the logits: probability minus truth."""
    if activation_for(labels) == SIGMOID:
        return sample_losses(logits, labels), sigmoid(logits) - labels
    log_probabilities = log_softmax(logits)
    rows = np.arange(len(labels))
    residuals = np.exp(log_probabilities)
    # The derivative of the cross-entropy: the softmax, minus one at the true class
    residuals[rows, labels] -= 1
    return -log_probabilities[rows, labels], residuals

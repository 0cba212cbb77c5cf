"""The two ways from logits to probabilities, and the loss of each.

SOFTMAX: the categories exclude each other, labels are of shape (N,), integers below K. SIGMOID:
they do not, each has a probability of its own (one-vs-rest logistic regression), labels are of
shape (N, K), 1 where a category is shown, or 0.
"""

import numpy as np

SOFTMAX, SIGMOID = "softmax", "sigmoid"


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the logarithm of the softmax of every row, without overflow."""
    # A shift changes no softmax, and with it exp() gives 1 at most
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-logits)), without overflow."""
    # exp() of negative numbers only: of large positive ones it overflows
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, small) / (1 + small)


def probabilities(logits: np.ndarray, activation: str) -> np.ndarray:
    return sigmoid(logits) if activation == SIGMOID else np.exp(log_softmax(logits))


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

"""Which words spoke for an answer: leave one after the other out, see how that changes it.

Needs nothing of a model but its answers, as the `occlusion` of pictures.
"""

from collections.abc import Callable, Sequence

import numpy as np

from predictions.predictors.text.words import WORD

MAX_PARTS = 80  # a longer text is cut into so many parts of several words each

LogOdds = Callable[[Sequence[str]], np.ndarray]  # N texts to (N, K)


def parts_of(text: str) -> list[tuple[int, int]]:
    """Return start and end of each word, or of as many groups of words in a row."""
    words = [found.span() for found in WORD.finditer(text)]
    if len(words) <= MAX_PARTS:
        return words
    edges = np.linspace(0, len(words), MAX_PARTS + 1).astype(int).tolist()
    return [
        (words[first][0], words[after - 1][1])
        for first, after in zip(edges, edges[1:], strict=False)
    ]


def occlusion_sensitivity(log_odds: LogOdds, text: str) -> np.ndarray:
    """Return how much the log-odds of each class fall without a part, shape (parts, K), float32.

    Of log-odds and not of probabilities: of a text that the model is sure of, these hardly move.

    Source: Li, Monroe & Jurafsky 2016, "Understanding neural networks through representation
    erasure", arXiv:1612.08220.
    """
    without = [f"{text[:start]} {text[end:]}" for start, end in parts_of(text)]
    odds = log_odds([text, *without])
    return (odds[0] - odds[1:]).astype(np.float32)

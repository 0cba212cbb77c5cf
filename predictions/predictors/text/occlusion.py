"""Which words spoke for an answer: leave one after the other out, see how that changes it.

Needs nothing of a model but its answers, as the `occlusion` of pictures.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

MAX_PARTS = 80  # a longer text is cut into so many parts of several words each
SURE = 1e-6  # probabilities nearer to 0 or 1 are rounding

# Japanese and Chinese have no spaces: there a change of script is where a word may end
_WORD = re.compile(
    "[\u4e00-\u9fff\u3005]+[\u3041-\u309f]{0,2}|[\u3041-\u309f]+|[\u30a0-\u30ff\u31f0-\u31ff]+"
    r"|[^\W\u3005\u3041-\u30ff\u31f0-\u31ff\u4e00-\u9fff]+(?:['’-][^\W\u3041-\u30ff\u4e00-\u9fff]+)*"
)

Probabilities = Callable[[Sequence[str]], np.ndarray]  # N texts to (N, K)


def parts_of(text: str) -> list[tuple[int, int]]:
    """Return start and end of each word, or of as many groups of words in a row."""
    words = [found.span() for found in _WORD.finditer(text)]
    if len(words) <= MAX_PARTS:
        return words
    edges = np.linspace(0, len(words), MAX_PARTS + 1).astype(int).tolist()
    return [
        (words[first][0], words[after - 1][1])
        for first, after in zip(edges, edges[1:], strict=False)
    ]


def occlusion_sensitivity(probabilities: Probabilities, text: str) -> np.ndarray:
    """Return how much the log-odds of each class fall without a part, shape (parts, K), float32.

    Source: Li, Monroe & Jurafsky 2016, "Understanding neural networks through representation
    erasure", arXiv:1612.08220.
    """
    without = [f"{text[:start]} {text[end:]}" for start, end in parts_of(text)]
    answers = probabilities([text, *without]).clip(SURE, 1 - SURE)
    odds = np.log(answers / (1 - answers))
    return (odds[0] - odds[1:]).astype(np.float32)

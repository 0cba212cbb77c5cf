"""What in a picture spoke for an answer: hide one part after the other, see how that changes it.

Needs nothing of a model but its answers, so it holds for every backbone and every compiled file.
"""

from collections.abc import Callable, Iterator

import numpy as np

GRID = 9  # cells per side of the map
WINDOW = 3  # cells per side of what is hidden at once: a third of the picture's side
AT_ONCE = 5  # pictures: larger batches gain nothing, and an engine keeps the memory of its largest
SURE = 1e-6  # probabilities nearer to 0 or 1 are rounding in float32

Probabilities = Callable[[np.ndarray], np.ndarray]  # (N, S, S, 3) uint8 to (N, K)


def occlusion_sensitivity(probabilities: Probabilities, pixels: np.ndarray) -> np.ndarray:
    """Return how much the log-odds of each class fall when a part is hidden.

    Of shape (GRID, GRID, K), float32. A square window of the picture's mean colour is moved over it
    in steps of a cell; a cell's value is the mean over the windows that cover it. Log-odds, as the
    probability of a sure answer hardly moves. Asks about (GRID - WINDOW + 1)^2 + 1 pictures.

    Args:
        probabilities: the model.
        pixels: one prepared picture, uint8, shape (S, S, 3).

    Source: Zeiler & Fergus 2014, "Visualizing and understanding convolutional networks",
    arXiv:1311.2901, section 4.2.
    """
    places = list(occlusion_windows())
    edges = np.linspace(0, len(pixels), GRID + 1).astype(int)
    batch = np.repeat(pixels[None], len(places) + 1, axis=0)
    for picture, (top, left) in zip(batch[1:], places, strict=True):
        picture[edges[top] : edges[top + WINDOW], edges[left] : edges[left + WINDOW]] = pixels.mean(
            axis=(0, 1)
        ).round()
    odds = np.concatenate(
        [log_odds(probabilities(part)) for part in np.array_split(batch, -(-len(batch) // AT_ONCE))]
    )
    fallen = odds[0] - odds[1:]  # the first is the picture with nothing hidden
    total, covered = (
        np.zeros((GRID, GRID, odds.shape[1]), np.float32),
        np.zeros((GRID, GRID, 1), np.float32),
    )
    for (top, left), value in zip(places, fallen, strict=True):
        total[top : top + WINDOW, left : left + WINDOW] += value
        covered[top : top + WINDOW, left : left + WINDOW] += 1
    return total / covered


def occlusion_windows() -> Iterator[tuple[int, int]]:
    """Yield row and column of the first cell of every window."""
    steps = GRID - WINDOW + 1
    return ((top, left) for top in range(steps) for left in range(steps))


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    clipped = probabilities.astype(np.float64).clip(SURE, 1 - SURE)
    return np.log(clipped / (1 - clipped))

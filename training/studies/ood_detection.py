"""How well a backbone tells pictures of other things from those of the categories learned.

The draws are those of `learning_curves`, of the largest number of pictures per category: head and
detector learn from the same ones, and all others are scored, together with every picture of the
other folder.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.progress import Progress, no_progress
from predictions.predictors.local.ood_detector import (
    REJECTION_LEVEL,
    OutOfDistributionDetector,
    Part,
)
from training.backbones.base import Backbone
from training.studies import learning_curves
from training.studies.learning_curves import LabelledPictures, SampleDraw


@dataclass(frozen=True)
class OodResult:
    """One draw against one folder: areas under the ROC curve, and shares that would be refused.

    `by_nearness` is of the score that refuses, `by_probability` of the top probability. The shares
    are None where there are too few pictures to set a threshold.
    """

    by_nearness: float
    by_probability: float
    refused_outside: float | None
    refused_inside: float | None


@dataclass(frozen=True)
class OodFigures:
    """What one backbone did against one folder, draw by draw."""

    backbone: str
    outside: str
    draws: list[OodResult]


def measure_ood(
    backbone: Backbone,
    collection: LabelledPictures,
    others: Mapping[str, LabelledPictures],
    per_class: int,
    seeds: int,
    progress: Progress = no_progress,
) -> list[OodFigures]:
    """Return the figures of a backbone against each of the other collections, by name."""
    inside = learning_curves.collection_vectors(backbone, collection, progress).matrix
    figures = []
    for name, other in others.items():
        outside = learning_curves.collection_vectors(backbone, other, progress).matrix
        draws = [
            learning_curves.draw_sample(collection.labels, per_class, seed) for seed in range(seeds)
        ]
        figures.append(
            OodFigures(
                backbone.name,
                name,
                [
                    evaluate_ood_draw(
                        inside, collection.labels, outside, each, parts=backbone.parts
                    )
                    for each in draws
                ],
            )
        )
    return figures


def evaluate_ood_draw(
    inside: np.ndarray,
    labels: np.ndarray,
    outside: np.ndarray,
    drawn: SampleDraw,
    *,
    parts: tuple[Part, ...] = (),
) -> OodResult:
    """Learn from one draw, and score the rest of the collection against all of the outside.

    As a run does it with a frozen backbone, whose features have these parts.
    """
    learned_head = learning_curves.fit_draw_head(inside, labels, drawn, len(np.unique(labels)))
    first, asked = np.setdiff1d(drawn.learn, drawn.held), inside[drawn.ask]
    train = inside[first], labels[first]
    detector = OutOfDistributionDetector.fit(
        train, inside[drawn.held], parts=parts, leave_one_out=True
    )
    # The area under the curve needs an order only, so it is measured even without a threshold
    nearness = (
        detector or OutOfDistributionDetector.fit_without_references(*train, parts=parts)
    ).similarity

    def area(score: Callable[[np.ndarray], np.ndarray]) -> float:
        return auroc(score(asked), score(outside))

    return OodResult(
        area(nearness),
        area(lambda vectors: learned_head.probabilities(vectors).max(axis=1)),
        float((detector.p_values(outside) <= REJECTION_LEVEL).mean()) if detector else None,
        float((detector.p_values(asked) <= REJECTION_LEVEL).mean()) if detector else None,
    )


def auroc(inside: Sequence[float] | np.ndarray, outside: Sequence[float] | np.ndarray) -> float:
    """Return the area under the ROC curve of a score that should be higher inside.

    In [0, 1], 0.5 is chance. It is the share of pairs of one from inside and one from outside that
    are in the right order, ties counting one half. Source: Hanley & McNeil 1982,
    doi:10.1148/radiology.143.1.7063747 (it equals the Mann-Whitney statistic).
    """
    ordered = np.sort(np.asarray(outside))
    below = np.searchsorted(ordered, inside, side="left")
    up_to = np.searchsorted(ordered, inside, side="right")
    return float((below + up_to).mean() / 2 / len(ordered))

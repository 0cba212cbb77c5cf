"""What a backbone knows of categories before it has seen a picture of them, as a head.

A network that was taught on ImageNet tells 1,000 classes apart, by a linear layer on the same
features. Its rows for the chosen classes are a head that answers at once, and the prior of one
that learns from pictures (see `head.fit_head`).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from training import backbones
from training.backbones.base import Backbone
from training.trainers.base import TrainingTask
from training.trainers.local.head import Head


def known_head(backbone: str, task: TrainingTask) -> Head | None:
    """Return what the backbone knows of the task's categories beforehand, if anything."""
    if not backbones.knows_imagenet(backbone) or task.multilabel:
        return None
    return build_known_head(backbones.load(backbone, task.parameters), task.class_names, task.known)


def build_known_head(
    backbone: Backbone, class_names: Sequence[str], known: Mapping[str, Sequence[int]]
) -> Head | None:
    """Return a head of these classes by what the backbone knows; None if it knows none of them.

    A category of several ImageNet classes gets the mean of their weights, and the logarithm of
    their number on top of the mean bias: the tangent of the log-sum-exp of their logits where all
    are equal, so that a hundred breeds are not each weighed against one pizza. Logits are those
    above the mean of all 1,000 classes, which is also what a category gets that is not known.

    Args:
        known: category to the numbers of its ImageNet classes.
    """
    if backbone.imagenet_head is None or not any(known.get(name) for name in class_names):
        return None
    weights, biases = backbone.imagenet_head()
    weights = weights - weights.mean(axis=1, keepdims=True)
    biases = biases - biases.mean()
    kernel = np.zeros((len(weights), len(class_names)), np.float32)
    bias = np.zeros(len(class_names), np.float32)
    for place, name in enumerate(class_names):
        if classes := list(known.get(name, ())):
            kernel[:, place] = weights[:, classes].mean(axis=1)
            bias[place] = biases[classes].mean() + np.log(len(classes))
    return Head(kernel, bias)

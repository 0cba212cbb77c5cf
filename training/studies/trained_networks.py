"""The backbone study of networks that learn anew for every draw, which is slow: `scratch`, and fine-tuned ones."""

import time
from collections.abc import Sequence

import numpy as np

from common.progress import Progress, silent
from predictions.predictors.local import preprocessing
from training.backbones.base import Backbone
from training.features import cache
from training.studies import learning_curves
from training.studies.learning_curves import HELD_BACK, Collection, Curve, Draw, Learned
from training.trainers.local import export, finetuning, head


def scratch(collection: Collection, per_class: Sequence[int], seeds: int, progress: Progress = silent) -> Curve:
    """Return the learning curve of a plain network that is learned whole for every draw."""
    from training.backbones import scratch as network

    pixels, labels, classes = _pixels(collection, network.INPUT_SIZE), collection.labels, len(collection.names)

    def learn(drawn: Draw, seed: int) -> Learned:
        rows = np.setdiff1d(drawn.learn, drawn.held)
        export.fresh_session()
        started = time.process_time()
        found = network.learn(
            (pixels[rows], labels[rows]),
            (pixels[drawn.held], labels[drawn.held]),
            head.balanced_weights(labels[rows], classes),
            classes,
            seed=seed,
        )
        seconds = time.process_time() - started
        return Learned(cache.of_network(found.network, pixels), seconds)

    return Curve(
        "scratch", network.FEATURES, None, learning_curves.answers(learn, collection, per_class, seeds, progress)
    )


def fine_tuned(
    backbone: Backbone, collection: Collection, per_class: Sequence[int], seeds: int, progress: Progress = silent
) -> Curve:
    """Return the learning curve of a backbone whose top learns for every draw.

    As in a run, what is held back stops it and decides whether the tuned network is kept, and nothing learns from that
    part; where the frozen one is kept, its head learns from all, as it does without fine-tuning. Numbers that hold too
    few back for a run to fine-tune are left out.
    """
    progress(0, 1, "Building the backbone")
    export.fresh_session()
    network = backbone.build()
    before, labels = network.get_weights(), collection.labels
    pixels = _pixels(collection, backbone.input_size)
    frozen = cache.of_network(network, pixels)

    def learn(drawn: Draw, seed: int) -> Learned:
        rows, held = np.setdiff1d(drawn.learn, drawn.held), labels[drawn.held]
        network.set_weights(before)
        first = learning_curves.first_head(frozen, labels, drawn, len(collection.names)).head
        started = time.process_time()
        tuned = finetuning.tune(network, first, (pixels[rows], labels[rows]), (pixels[drawn.held], held), seed=seed)
        seconds = time.process_time() - started
        vectors = cache.of_network(network, pixels)
        after = head.cross_entropy(tuned.head, vectors[drawn.held], held)
        if after < head.cross_entropy(first, frozen[drawn.held], held):
            return Learned(vectors, seconds, tuned.head)
        return Learned(frozen, seconds)

    enough = [each for each in per_class if each // HELD_BACK * len(collection.names) >= head.FEWEST_TO_CHOOSE]
    found = learning_curves.answers(learn, collection, enough, seeds, progress)
    return Curve(f"{backbone.name}, fine-tuned", backbone.features, None, found)


def _pixels(collection: Collection, size: int) -> np.ndarray:
    return np.stack([preprocessing.read(collection.read(sample)(), size) for sample in collection.samples])

"""The study of networks that learn anew for every draw: `scratch`, and fine-tuned backbones."""

import time
from collections.abc import Sequence

import numpy as np

from common.progress import Progress, no_progress
from predictions.predictors.local import preprocessing
from training.backbones.base import Backbone
from training.backbones.keras_session import reset_keras_session
from training.features.vectors import extract_with_keras
from training.studies import learning_curves
from training.studies.learning_curves import (
    HELD_BACK,
    DrawFeatures,
    LabelledPictures,
    LearningCurve,
    SampleDraw,
)
from training.trainers.local import finetuning, head


def scratch_curve(
    collection: LabelledPictures,
    per_class: Sequence[int],
    seeds: int,
    progress: Progress = no_progress,
) -> LearningCurve:
    """Return the learning curve of a plain network that is learned whole for every draw."""
    from training.backbones import scratch as network

    pixels, labels, classes = (
        _pixels(collection, network.INPUT_SIZE),
        collection.labels,
        len(collection.names),
    )

    def learn(drawn: SampleDraw, seed: int) -> DrawFeatures:
        rows = np.setdiff1d(drawn.learn, drawn.held)
        reset_keras_session()
        started = time.process_time()
        trained = network.train_network(
            (pixels[rows], labels[rows]),
            (pixels[drawn.held], labels[drawn.held]),
            head.balanced_weights(labels[rows], classes),
            classes,
            seed=seed,
        )
        seconds = time.process_time() - started
        return DrawFeatures(extract_with_keras(trained.network, pixels), seconds)

    return LearningCurve(
        "scratch",
        network.FEATURES,
        None,
        learning_curves.evaluate_draws(learn, collection, per_class, seeds, progress),
    )


def fine_tuned_curve(
    backbone: Backbone,
    collection: LabelledPictures,
    per_class: Sequence[int],
    seeds: int,
    progress: Progress = no_progress,
) -> LearningCurve:
    """Return the learning curve of a backbone whose top learns for every draw.

    As in a run, what is held back stops it and decides whether the tuned network is kept, and
    nothing learns from that part; where the frozen one is kept, its head learns from all, as it
    does without fine-tuning. Numbers that hold too few back for a run to fine-tune are left out.
    """
    progress(0, 1, "Building the backbone")
    reset_keras_session()
    network = backbone.build()
    before, labels = network.get_weights(), collection.labels
    pixels = _pixels(collection, backbone.input_size)
    frozen = extract_with_keras(network, pixels)

    def learn(drawn: SampleDraw, seed: int) -> DrawFeatures:
        rows, held = np.setdiff1d(drawn.learn, drawn.held), labels[drawn.held]
        # Every draw starts from the frozen network; the one before has changed it in place
        network.set_weights(before)
        first = learning_curves.fit_first_head(frozen, labels, drawn, len(collection.names)).head
        started = time.process_time()
        tuned = finetuning.fine_tune(
            network, first, (pixels[rows], labels[rows]), (pixels[drawn.held], held), seed=seed
        )
        seconds = time.process_time() - started
        vectors = extract_with_keras(network, pixels)
        after = head.cross_entropy(tuned.head, vectors[drawn.held], held)
        if after < head.cross_entropy(first, frozen[drawn.held], held):
            return DrawFeatures(vectors, seconds, tuned.head)
        return DrawFeatures(frozen, seconds)

    # As many as a run asks for before it fine-tunes
    enough = [
        each
        for each in per_class
        if each // HELD_BACK * len(collection.names) >= head.MIN_TO_CHOOSE
    ]
    results = learning_curves.evaluate_draws(learn, collection, enough, seeds, progress)
    return LearningCurve(f"{backbone.name}, fine-tuned", backbone.features, None, results)


def _pixels(collection: LabelledPictures, size: int) -> np.ndarray:
    return np.stack(
        [
            preprocessing.read_pixels(collection.read(sample)(), size)
            for sample in collection.samples
        ]
    )

"""From pictures to feature vectors, by a frozen backbone or by a network that learns first."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from common.processes import usable_core_count
from common.progress import Progress, no_progress, subrange
from predictions.predictors.local import bundles, preprocessing
from predictions.predictors.local.engine import LiteRtEngine
from predictions.predictors.local.ood_detector import Part
from predictions.predictors.local.preprocessing import Preparation
from training import backbones
from training.backbones.base import Backbone
from training.backbones.keras_session import reset_keras_session
from training.data import examples
from training.data.examples import ArraySplit, Example
from training.features.cache import FeatureCache, Vectors
from training.features.vectors import extract_batches, extract_with_keras, load_or_extract
from training.trainers.base import TrainingTask
from training.trainers.local import export, head

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class FeatureSet:
    """The feature vectors that a network made of a task's examples, and the network itself.

    `network` is None where the frozen one's own file, `frozen.served`, gives the vectors and serves
    the model.
    """

    network: "keras.Model | None"
    backbone: Mapping[str, Any]  # for the manifest
    vectors: Vectors
    examples: Sequence[Example]  # those that have a vector
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    parts: tuple[Part, ...] = ()  # see `Backbone`
    preparation: Preparation = preprocessing.CENTRED
    frozen: Backbone | None = None

    def trainable_network(self) -> "keras.Model":
        """Return the network to learn on with; Keras is loaded for it if it has not been."""
        if self.network is not None:
            return self.network
        if self.frozen is None:
            raise ValueError("There is neither a network nor what makes it.")
        reset_keras_session()
        return self.frozen.build()

    def validation_examples(self) -> list[Example]:
        return [example for example in self.examples if example.split == "validation"]

    def splits(self, task: TrainingTask) -> tuple[ArraySplit, ArraySplit]:
        """Return vectors and labels to learn from, and those to validate with."""
        return _train_and_validation(task, self.examples, self.vectors)


def extract_frozen(name: str, task: TrainingTask, progress: Progress) -> FeatureSet:
    """Return the vectors of a frozen backbone: cached ones, and new ones of all other pictures."""
    progress(0, 1, _("Preparing the backbone"))
    backbone = backbones.load(name, task.parameters)
    extraction = load_or_extract(
        FeatureCache(backbone.digest, backbone.preparation),
        {example.sha256: example.read for example in task.examples},
        # Called only if a picture is new, so that nothing is compiled for cached vectors
        lambda: LiteRtEngine(export.export_backbone(backbone), threads=usable_core_count()),
        progress,
    )
    progress(1, 1, _("Preparing the model"))
    network = None
    if backbone.served is None:
        # Layers are numbered from the start again, or the saved model, and with it the digest of
        # the bundle, would depend on what this process built before
        reset_keras_session()
        network = backbone.build()
    return FeatureSet(
        network=network,
        backbone={"name": name, "digest": backbone.digest, "frozen": True},
        vectors=extraction.vectors,
        examples=[each for each in task.examples if each.sha256 in extraction.vectors],
        notes=_unread(extraction.unread),
        parts=backbone.parts,
        preparation=backbone.preparation,
        frozen=backbone,
    )


def train_and_extract(task: TrainingTask, progress: Progress) -> FeatureSet:
    """Train a whole network on the examples' own pictures, and return their vectors by it."""
    from training.backbones import scratch

    pixels, unread = examples.load_pixels(
        task.examples, scratch.INPUT_SIZE, subrange(progress, 0, 15)
    )
    usable = [example for example in task.examples if example.sha256 in pixels]
    # Before minutes of training: a category may have lost its only picture to a damaged file
    examples.check_categories(task.class_names, usable)
    train, validation = _train_and_validation(task, usable, pixels)
    reset_keras_session()
    trained = scratch.train_network(
        train,
        validation,
        head.balanced_weights(train[1], len(task.class_names)),
        len(task.class_names),
        seed=task.seed,
        epochs=int(task.parameters.get("epochs") or scratch.EPOCHS),
        watch=subrange(progress, 15, 95),
    )
    # There is no file of weights to tell this network by
    digest = hashlib.sha256(export.weights_bytes(trained.network)).hexdigest()[:32]
    rows = extract_with_keras(trained.network, np.stack(list(pixels.values())))
    return FeatureSet(
        network=trained.network,
        backbone={"name": backbones.SCRATCH, "digest": digest, "frozen": False},
        vectors=dict(zip(pixels, rows, strict=True)),
        examples=usable,
        curves=trained.curves,
        notes=_unread(unread),
    )


def vectors_for_bundle(
    bundle: bundles.ModelBundle, wanted: Sequence[Example], progress: Progress
) -> Vectors:
    """Return the vectors of those examples that have a picture, or a cached vector.

    Only a frozen backbone has cached ones.
    """
    if cache := cache_for_bundle(bundle):
        pictures = {example.sha256: example.read for example in wanted}
        return load_or_extract(cache, pictures, partial(_engine, bundle), progress).vectors
    # No other model shares a network that has learned, so its vectors are not worth keeping
    return _extract(bundle, wanted, progress)


def vector_for_bundle(bundle: bundles.ModelBundle, example: Example) -> np.ndarray | None:
    """Return the vector of one example, or None; unlike the others, it is not cached.

    What is asked about need not be kept, and a vector would outlast its deletion.
    """
    cache = cache_for_bundle(bundle)
    cached = cache.get([example.sha256]) if cache else {}
    found = cached or _extract(bundle, [example])
    return found.get(example.sha256)


def cache_for_bundle(bundle: bundles.ModelBundle) -> FeatureCache | None:
    """Return the cache of a bundle's backbone; None of a network that learned itself."""
    backbone = bundle.manifest["backbone"]
    if not backbone["frozen"]:
        return None
    return FeatureCache(backbone["digest"], _preparation(bundle))


def _extract(
    bundle: bundles.ModelBundle, wanted: Sequence[Example], progress: Progress = no_progress
) -> Vectors:
    readable = {example.sha256: example.read for example in wanted if example.read is not None}
    vectors: Vectors = {}
    if readable:
        batches = extract_batches(
            readable, _engine(bundle), {}, progress, preparation=_preparation(bundle)
        )
        for samples, rows in batches:
            vectors.update(zip(samples, rows, strict=True))
    return vectors


def _engine(bundle: bundles.ModelBundle) -> LiteRtEngine:
    return LiteRtEngine(bundle.paths[bundles.COMPILED_MODEL], threads=usable_core_count())


def _preparation(bundle: bundles.ModelBundle) -> Preparation:
    return preprocessing.preparation_of(bundle.manifest) or preprocessing.CENTRED


def _train_and_validation(
    task: TrainingTask, usable: Sequence[Example], values: Mapping[str, np.ndarray]
) -> tuple[ArraySplit, ArraySplit]:
    train, validation = (
        examples.split_arrays(
            usable, values, which, class_names=task.class_names, multilabel=task.multilabel
        )
        for which in ("train", "validation")
    )
    return train, validation


def _unread(unread: Mapping[str, str]) -> list[str]:
    if not unread:
        return []
    sample, reason = next(iter(unread.items()))
    text = ngettext(
        "%(count)d picture could not be read (%(sample)s: %(reason)s).",
        "%(count)d pictures could not be read (the first, %(sample)s: %(reason)s).",
        len(unread),
    )
    # The first 12 digits are enough to find the sample, and fit into a line of the log
    return [text % {"count": len(unread), "sample": sample[:12], "reason": reason}]

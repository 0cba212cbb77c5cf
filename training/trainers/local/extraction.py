"""Having a backbone look at examples: from pictures to feature vectors, by a network that is there
or learned now.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from common.processes import usable_core_count
from common.progress import Progress, subrange
from predictions.predictors.local import bundles
from predictions.predictors.local.engine import LiteRtEngine
from training import backbones
from training.data import examples
from training.data.examples import Example, PictureReader
from training.features.cache import FeatureCache, Vectors
from training.features.vectors import extract_batches, extract_with_keras, load_or_extract
from training.trainers.base import TrainingTask
from training.trainers.local import export, head

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class FeatureSet:
    """What the backbone made of the examples."""

    network: "keras.Model"
    backbone: Mapping[str, Any]  # for the manifest
    vectors: Vectors
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    notes: Sequence[str] = ()


def extract_features(name: str, task: TrainingTask, progress: Progress) -> FeatureSet:
    """Return what a backbone makes of a task's examples; `scratch` learns on their pictures
    first.
    """
    return (_learn_and_look if name == backbones.SCRATCH else _look)(name, task, progress)


def _look(name: str, task: TrainingTask, progress: Progress) -> FeatureSet:
    """Have a frozen backbone look at the examples that it has not seen before."""
    progress(0, 1, _("Preparing the backbone"))
    backbone = backbones.load(name, task.parameters)
    extraction = load_or_extract(
        FeatureCache(backbone.digest),
        {example.sha256: example.read for example in task.examples},
        lambda: LiteRtEngine(export.export_backbone(backbone), threads=usable_core_count()),
        progress,
    )
    progress(1, 1, _("Preparing the model"))
    export.reset_keras_session()
    return FeatureSet(
        network=backbone.build(),
        backbone={"name": name, "digest": backbone.digest, "frozen": True},
        vectors=extraction.vectors,
        notes=_unread(extraction.unread),
    )


def _learn_and_look(name: str, task: TrainingTask, progress: Progress) -> FeatureSet:
    """Train a network on the examples' own pictures, then have it look at them."""
    from training.backbones import scratch

    pixels, unread = examples.load_pixels(
        task.examples, scratch.INPUT_SIZE, subrange(progress, 0, 15)
    )
    usable = [example for example in task.examples if example.sha256 in pixels]
    examples.check_categories(task.class_names, usable)
    train, validation = (
        examples.split_arrays(
            usable, pixels, which, class_names=task.class_names, multilabel=task.multilabel
        )
        for which in ("train", "validation")
    )
    export.reset_keras_session()
    learned = scratch.train_network(
        train,
        validation,
        head.balanced_weights(train[1], len(task.class_names)),
        len(task.class_names),
        seed=task.seed,
        epochs=int(task.parameters.get("epochs") or scratch.EPOCHS),
        watch=subrange(progress, 15, 95),
    )
    digest = hashlib.sha256(export.weights_bytes(learned.network)).hexdigest()[:32]
    rows = extract_with_keras(learned.network, np.stack(list(pixels.values())))
    backbone = {"name": name, "digest": digest, "frozen": False}
    return FeatureSet(
        learned.network,
        backbone,
        dict(zip(pixels, rows, strict=True)),
        learned.curves,
        _unread(unread),
    )


def vectors_for_bundle(
    bundle: bundles.ModelBundle, shown: Sequence[Example], progress: Progress
) -> Vectors:
    """Return the feature vectors of those examples that have a picture or, with a frozen backbone,
    a kept vector.
    """
    engine = partial(
        LiteRtEngine, bundle.paths[bundles.COMPILED_MODEL], threads=usable_core_count()
    )
    pictures = {example.sha256: example.read for example in shown}
    backbone = bundle.manifest["backbone"]
    if backbone["frozen"]:
        return load_or_extract(FeatureCache(backbone["digest"]), pictures, engine, progress).vectors
    return _computed(pictures, engine(), progress)


def _computed(
    pictures: Mapping[str, PictureReader | None], engine: LiteRtEngine, progress: Progress
) -> Vectors:
    readable = {sample: read for sample, read in pictures.items() if read is not None}
    vectors: Vectors = {}
    for samples, rows in extract_batches(readable, engine, {}, progress):
        vectors.update(zip(samples, rows, strict=True))
    return vectors


def _unread(unread: Mapping[str, str]) -> list[str]:
    if not unread:
        return []
    sample, reason = next(iter(unread.items()))
    text = ngettext(
        "%(count)d picture could not be read (%(sample)s: %(reason)s).",
        "%(count)d pictures could not be read (the first, %(sample)s: %(reason)s).",
        len(unread),
    )
    return [text % {"count": len(unread), "sample": sample[:12], "reason": reason}]

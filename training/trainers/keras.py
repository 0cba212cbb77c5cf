"""The local trainer: a backbone, a head on its feature vectors, a bundle that the local predictor serves."""

import hashlib
import importlib.util
import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from classifr.common.progress import Progress, silent
from predictions.predictors import bundles, preprocessing
from predictions.predictors.base import Servable
from predictions.predictors.engine import Engine
from predictions.predictors.scope import FEWEST_REFERENCES, Scope
from training import backbones, features
from training.trainers import compiling, finetuning, head, parity, scope
from training.trainers.base import BaseTrainer, Example, TrainedModel, TrainingFailed, TrainingTask
from training.trainers.stages import stage

if TYPE_CHECKING:
    import keras

Split = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Seen:
    """What the backbone made of the examples."""

    network: "keras.Model"
    backbone: Mapping[str, Any]  # for the manifest
    vectors: features.Vectors
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    notes: Sequence[str] = ()


class KerasTrainer(BaseTrainer):
    """Learns a head on a frozen backbone, or a whole small network (`scratch`) and a head on that.

    Parameters of a task: `backbone` (a name, see `backbones()`); `weights` (for ImageNet backbones: path of a file);
    `epochs` (for scratch and fine-tuning: at most so many); `fine_tune` (true: the top of the backbone learns as well).
    """

    def __init__(self, *, alias: str, predictor: str = "keras") -> None:
        super().__init__(alias=alias)
        self.predictor = predictor

    def backbones(self) -> Sequence[str]:
        return backbones.names()

    def multilabel_backbones(self) -> Sequence[str]:
        return [name for name in backbones.names() if name in backbones.FROZEN]

    def fine_tunes(self, backbone: str) -> bool:
        return backbone in backbones.FROZEN

    def check(self) -> list[CheckMessage]:
        if importlib.util.find_spec("tensorflow"):
            return []
        message = f"TRAINERS['{self.alias}'] needs TensorFlow, which is not installed: this process cannot train."
        return [Warning(message, hint="Install requirements.txt, or train on another machine.", id="training.W001")]

    def train(self, task: TrainingTask, progress: Progress = silent) -> TrainedModel:
        learned_from = [example for example in task.examples if example.split in ("train", "validation")]
        _check_categories(task, learned_from)
        name = str(task.parameters.get("backbone") or settings.DEFAULT_BACKBONE)
        tuning = bool(task.parameters.get(finetuning.PARAMETER))
        if tuning:
            finetuning.check(replace(task, examples=learned_from), name)
        if task.multilabel and (tuning or name == backbones.SCRATCH):
            raise TrainingFailed(
                _("Only a head on a frozen backbone learns categories that do not exclude each other.")
            )
        looked, learnt = (40, 45) if tuning else (70, 80)
        look = self._look_and_learn if name == backbones.SCRATCH else self._look
        seen = look(name, task, learned_from, stage(progress, 0, looked))
        usable: Sequence[Example] = [example for example in learned_from if example.sha256 in seen.vectors]
        _check_categories(task, usable)
        notes = _left_out(learned_from, usable)

        train, validation = (_split(task, usable, seen.vectors, which) for which in ("train", "validation"))
        if len(validation[1]) < head.FEWEST_TO_CHOOSE:
            notes.append(_("Too few validation samples to choose the regularisation: its default was taken."))
        watch = stage(progress, looked, learnt)
        learned = head.learn(
            train,
            validation,
            len(task.class_names),
            watch=lambda done, total, l2: watch(done, total, _("Learning the categories")),
        )
        if tuning:
            seen, learned, usable = self._fine_tune(task, seen, learned, usable, stage(progress, learnt, 80))
            train, validation = (_split(task, usable, seen.vectors, which) for which in ("train", "validation"))
        known = scope.learn(train, validation[0])
        if known is None:
            notes.append(_too_few_for_scope(len(validation[1])))
        reference, digest, manifest = self._keep(task, seen, learned, known, usable, stage(progress, 80, 100))
        curves = {"loss": learned.losses, "validation_loss": learned.validation_losses}
        return TrainedModel(
            predictor=self.predictor,
            reference=reference,
            class_names=task.class_names,
            digest=digest,
            manifest=manifest,
            curves=dict(seen.curves) | {name: values for name, values in curves.items() if values},
            notes=[*seen.notes, *notes],
        )

    def score(self, model: Servable, examples: Sequence[Example], progress: Progress = silent) -> np.ndarray:
        """See the base. Uses kept feature vectors and the plain head; needs no TensorFlow."""
        bundle = bundles.open_verified(model, bundles.HEAD, bundles.COMPILED_MODEL)
        vectors = _vectors(bundle, examples, progress)
        rows = np.full((len(examples), len(model.class_names)), np.nan)
        known = [place for place, example in enumerate(examples) if example.sha256 in vectors]
        if known:
            matrix = np.stack([vectors[examples[place].sha256] for place in known])
            rows[known] = head.Head.from_file(bundle.paths[bundles.HEAD]).probabilities(matrix)
        return rows

    def familiarity(
        self, model: Servable, examples: Sequence[Example], progress: Progress = silent
    ) -> np.ndarray | None:
        """See the base."""
        bundle = bundles.open_verified(model, bundles.COMPILED_MODEL, if_there=bundles.SCOPE)
        if bundles.SCOPE not in bundle.paths:
            return None
        vectors = _vectors(bundle, examples, progress)
        known = [vectors[example.sha256] for example in examples if example.sha256 in vectors]
        return Scope.from_file(bundle.paths[bundles.SCOPE]).familiarity(np.stack(known)) if known else np.empty(0)

    def _look(self, name: str, task: TrainingTask, examples: Sequence[Example], progress: Progress) -> _Seen:
        """Have a frozen backbone look at the examples that it has not seen before."""
        progress(0, 1, _("Preparing the backbone"))
        backbone = backbones.get(name, task.parameters)
        extraction = features.extract(
            features.FeatureCache(backbone.digest),
            {example.sha256: example.read for example in examples},
            lambda: Engine(compiling.compiled_backbone(backbone), threads=os.cpu_count()),
            progress,
        )
        progress(1, 1, _("Preparing the model"))
        compiling.fresh_session()
        return _Seen(
            network=backbone.build(),
            backbone={"name": name, "digest": backbone.digest, "frozen": True},
            vectors=extraction.vectors,
            notes=_unread(extraction.unread),
        )

    def _look_and_learn(self, name: str, task: TrainingTask, examples: Sequence[Example], progress: Progress) -> _Seen:
        """Train a network on the examples' own pictures, then have it look at them."""
        from training.backbones import scratch

        pixels, unread = _pixels(examples, scratch.INPUT_SIZE, stage(progress, 0, 15))
        usable = [example for example in examples if example.sha256 in pixels]
        _check_categories(task, usable)
        train, validation = (_split(task, usable, pixels, which) for which in ("train", "validation"))
        compiling.fresh_session()
        learned = scratch.learn(
            train,
            validation,
            head.balanced_weights(train[1], len(task.class_names)),
            len(task.class_names),
            seed=task.seed,
            epochs=int(task.parameters.get("epochs") or scratch.EPOCHS),
            watch=stage(progress, 15, 95),
        )
        digest = hashlib.sha256(compiling.weights_digest_bytes(learned.network)).hexdigest()[:32]
        vectors: features.Vectors = {}
        samples = list(pixels)
        for start in range(0, len(samples), features.BATCH):
            batch = samples[start : start + features.BATCH]
            rows = learned.network.predict_on_batch(np.stack([pixels[sample] for sample in batch]).astype(np.float32))
            vectors.update(zip(batch, np.asarray(rows), strict=True))
        backbone = {"name": name, "digest": digest, "frozen": False}
        return _Seen(learned.network, backbone, vectors, learned.curves, _unread(unread))

    def _fine_tune(
        self, task: TrainingTask, seen: _Seen, learned: head.Learned, usable: Sequence[Example], progress: Progress
    ) -> tuple[_Seen, head.Learned, Sequence[Example]]:
        """Let the top of the backbone learn as well; what does not help changes nothing but curves and notes."""
        tuned = finetuning.improve(task, seen.network, learned.head, seen.vectors, usable, progress)
        curves, notes = {**seen.curves, **tuned.curves}, [*seen.notes, *tuned.notes]
        if not tuned.better:
            return replace(seen, curves=curves, notes=notes), learned, usable
        frozen = seen.backbone["digest"]
        digest = finetuning.digest(seen.network, frozen)
        backbone = {**seen.backbone, "digest": digest, "frozen": False, "tuned_from": frozen}
        learned = replace(learned, head=tuned.head, validation_loss=tuned.validation_loss)
        return _Seen(seen.network, backbone, tuned.vectors, curves, notes), learned, tuned.examples

    def _keep(
        self,
        task: TrainingTask,
        seen: _Seen,
        learned: head.Learned,
        known: Scope | None,
        usable: Sequence[Example],
        progress: Progress,
    ) -> tuple[str, str, dict[str, Any]]:
        """Export the model, check the export, write the bundle; return its reference, digest and manifest."""
        progress(0, 4, _("Compiling the model"))
        size = int(seen.network.input_shape[1])
        model = compiling.assemble(seen.network, learned.head, size)
        export = compiling.compiled(model)
        progress(2, 4, _("Comparing the compiled model with the trained one"))
        pictures, _unreadable = _pixels(_some(usable, parity.PICTURES), size)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / bundles.COMPILED_MODEL
            path.write_bytes(export)
            agreement = parity.check(
                model, Engine(path), list(pictures.values()), seed=task.seed, exclusive=not task.multilabel
            )
        progress(3, 4, _("Keeping the model"))
        manifest = {
            "class_names": list(task.class_names),
            "input_size": size,
            "preprocessing": {"name": preprocessing.NAME, "digest": preprocessing.DIGEST},
            "activation": learned.head.activation,
            "temperature": learned.head.temperature,
            "backbone": dict(seen.backbone) | {"features": int(seen.network.output_shape[-1])},
            "head": {
                "l2": learned.l2,
                "validation_loss": learned.validation_loss,
                "tried": [{"l2": fit.l2, "validation_loss": fit.validation_loss} for fit in learned.fits],
            },
            "data": {"digest": _data_digest(usable), "splits": dict(Counter(example.split for example in usable))},
            "seed": task.seed,
            "libraries": compiling.libraries(),
            "parity": agreement.as_manifest(),
        }
        files = {
            bundles.KERAS_MODEL: compiling.saved(model),
            bundles.COMPILED_MODEL: export,
            bundles.HEAD: learned.head.to_bytes(),
        }
        if known:
            files[bundles.SCOPE] = known.to_bytes()
        reference, digest = bundles.write(task.project, files, manifest)
        progress(4, 4, _("Model kept"))
        return reference, digest, manifest


def _check_categories(task: TrainingTask, examples: Sequence[Example]) -> None:
    if len(task.class_names) < 2:
        raise TrainingFailed(_("A model needs at least two categories to tell apart. Add another category."))
    present = {name for example in examples if example.split == "train" for name in example.categories}
    if missing := [name for name in task.class_names if name not in present]:
        raise TrainingFailed(
            _("These categories have no picture to learn from: %(names)s. Add pictures, or leave them out.")
            % {"names": ", ".join(missing)}
        )


def _split(task: TrainingTask, examples: Sequence[Example], values: Mapping[str, np.ndarray], which: str) -> Split:
    """Return the values and the labels of one split, in an order that depends on nothing but the samples.

    Labels are those of `likelihood`.
    """
    place = {name: index for index, name in enumerate(task.class_names)}
    chosen = sorted((e for e in examples if e.split == which and e.category in place), key=lambda e: e.sha256)
    shape = next(iter(values.values())).shape
    dtype = next(iter(values.values())).dtype
    rows = np.stack([values[e.sha256] for e in chosen]) if chosen else np.empty((0, *shape), dtype)
    if task.multilabel:
        shown = [[name in e.categories for name in task.class_names] for e in chosen]
        return rows, np.array(shown, dtype=np.int64).reshape(len(chosen), len(place))
    return rows, np.array([place[e.category] for e in chosen], dtype=np.int64)


def _pixels(
    examples: Sequence[Example], size: int, progress: Progress = silent
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the prepared pixels of the examples that have a picture, and why others could not be read."""
    found, unread = {}, {}
    for done, example in enumerate(examples, start=1):
        progress(done, len(examples), _("Reading the pictures"))
        if example.read is None:
            continue
        try:
            found[example.sha256] = preprocessing.prepare(example.read(), size)
        except features.UNREADABLE as error:
            unread[example.sha256] = str(error)
    return found, unread


def _vectors(bundle: bundles.Bundle, examples: Sequence[Example], progress: Progress) -> features.Vectors:
    """Return the feature vectors of those examples that have a picture or, with a frozen backbone, a kept vector."""
    engine = partial(Engine, bundle.paths[bundles.COMPILED_MODEL], threads=os.cpu_count())
    pictures = {example.sha256: example.read for example in examples}
    backbone = bundle.manifest["backbone"]
    if backbone["frozen"]:
        return features.extract(features.FeatureCache(backbone["digest"]), pictures, engine, progress).vectors
    return _computed(pictures, engine(), progress)


def _computed(pictures: Mapping[str, features.Read | None], engine: Engine, progress: Progress) -> features.Vectors:
    readable = {sample: read for sample, read in pictures.items() if read is not None}
    vectors: features.Vectors = {}
    for samples, rows in features.compute(readable, engine, {}, progress):
        vectors.update(zip(samples, rows, strict=True))
    return vectors


def _some(examples: Sequence[Example], count: int) -> list[Example]:
    """Return at most so many examples that have a picture, spread evenly over all."""
    readable = sorted((example for example in examples if example.read is not None), key=lambda e: e.sha256)
    return readable[:: max(1, -(-len(readable) // count))]


def _data_digest(examples: Sequence[Example]) -> str:
    lines = sorted(f"{one.sha256} {one.split} {name}" for one in examples for name in one.categories)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _too_few_for_scope(count: int) -> str:
    return _(
        "This model cannot tell pictures that look like nothing it has learned: for that it needs %(needed)d "
        "validation samples, and there are %(count)d."
    ) % {"needed": FEWEST_REFERENCES, "count": count}


def _left_out(examples: Sequence[Example], usable: Sequence[Example]) -> list[str]:
    if not (count := len(examples) - len(usable)):
        return []
    text = ngettext(
        "%(count)d sample was left out: its picture was not kept and this backbone has not seen it before.",
        "%(count)d samples were left out: their pictures were not kept and this backbone has not seen them before.",
        count,
    )
    return [text % {"count": count}]


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

"""The local trainer: a backbone, a head on its feature vectors, a bundle that the local predictor
serves.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from common.progress import Progress, no_progress, subrange
from predictions.predictors.base import ModelRef
from predictions.predictors.local import bundles
from predictions.predictors.local.ood_detector import MIN_REFERENCES, OutOfDistributionDetector
from training import backbones
from training.data.examples import ArraySplit, Example, check_categories, split_arrays
from training.errors import TrainingFailed
from training.trainers.base import BaseTrainer, TrainedModel, TrainingTask
from training.trainers.local import extraction, finetuning, head
from training.trainers.local.bundling import export_bundle
from training.trainers.local.extraction import FeatureSet


class LocalTrainer(BaseTrainer):
    """Learns a head on a frozen backbone, or a whole small network (`scratch`) and a head on that.

    Parameters of a task: `backbone` (a name, see `backbones()`); `weights` (for ImageNet backbones:
    path of a file); `epochs` (for scratch and fine-tuning: at most so many); `fine_tune` (true: the
    top of the backbone learns as well).
    """

    def __init__(self, *, alias: str, predictor: str = "keras") -> None:
        super().__init__(alias=alias)
        self.predictor = predictor

    def backbone_names(self) -> Sequence[str]:
        return backbones.backbone_names()

    def multilabel_backbone_names(self) -> Sequence[str]:
        return [name for name in backbones.backbone_names() if name in backbones.FROZEN]

    def supports_fine_tuning(self, backbone: str) -> bool:
        return backbone in backbones.FROZEN

    def check(self) -> list[CheckMessage]:
        if importlib.util.find_spec("tensorflow"):
            return []
        message = (
            f"TRAINERS['{self.alias}'] needs TensorFlow, which is not installed: this "
            f"process cannot train."
        )
        return [
            Warning(
                message,
                hint="Install requirements.txt, or train on another machine.",
                id="training.W001",
            )
        ]

    def train(self, task: TrainingTask, progress: Progress = no_progress) -> TrainedModel:
        task = replace(
            task, examples=[each for each in task.examples if each.split in ("train", "validation")]
        )
        name = str(task.parameters.get("backbone") or settings.DEFAULT_BACKBONE)
        tuning = bool(task.parameters.get(finetuning.PARAMETER))
        _check(task, name, tuning=tuning)
        looked, learnt = (40, 45) if tuning else (70, 80)
        seen = extraction.extract_features(name, task, subrange(progress, 0, looked))
        usable: Sequence[Example] = [
            example for example in task.examples if example.sha256 in seen.vectors
        ]
        left_out = len(task.examples) - len(usable)
        check_categories(task.class_names, usable)
        learned = _learn_head(task, seen, usable, subrange(progress, looked, learnt))
        if tuning:
            seen, learned, usable = _fine_tune(
                task, seen, learned, usable, subrange(progress, learnt, 80)
            )
        train, validation = _splits(task, seen, usable)
        known = OutOfDistributionDetector.fit(train, validation[0])
        reference, digest, manifest = export_bundle(
            task, seen, learned, known, usable, subrange(progress, 80, 100)
        )
        curves = {"loss": learned.losses, "validation_loss": learned.validation_losses}
        return TrainedModel(
            predictor=self.predictor,
            reference=reference,
            class_names=task.class_names,
            digest=digest,
            manifest=manifest,
            curves=dict(seen.curves) | {name: values for name, values in curves.items() if values},
            notes=[*seen.notes, *_left_out(left_out), *_too_few(len(validation[1]), known)],
        )

    def predict_proba(
        self, model: ModelRef, examples: Sequence[Example], progress: Progress = no_progress
    ) -> np.ndarray:
        """See the base. Uses kept feature vectors and the plain head; needs no TensorFlow."""
        bundle = bundles.open_bundle(model, bundles.HEAD, bundles.COMPILED_MODEL)
        vectors = extraction.vectors_for_bundle(bundle, examples, progress)
        rows = np.full((len(examples), len(model.class_names)), np.nan)
        known = [place for place, example in enumerate(examples) if example.sha256 in vectors]
        if known:
            matrix = np.stack([vectors[examples[place].sha256] for place in known])
            rows[known] = head.Head.from_file(bundle.paths[bundles.HEAD]).probabilities(matrix)
        return rows

    def ood_p_values(
        self, model: ModelRef, examples: Sequence[Example], progress: Progress = no_progress
    ) -> np.ndarray | None:
        """See the base."""
        bundle = bundles.open_bundle(model, bundles.COMPILED_MODEL, if_there=bundles.SCOPE)
        if bundles.SCOPE not in bundle.paths:
            return None
        vectors = extraction.vectors_for_bundle(bundle, examples, progress)
        known = [vectors[example.sha256] for example in examples if example.sha256 in vectors]
        return (
            OutOfDistributionDetector.from_file(bundle.paths[bundles.SCOPE]).p_values(
                np.stack(known)
            )
            if known
            else np.empty(0)
        )


def _check(task: TrainingTask, backbone: str, *, tuning: bool) -> None:
    """Raise TrainingFailed, before any work, for what this trainer cannot do."""
    check_categories(task.class_names, task.examples)
    if tuning:
        finetuning.check_can_fine_tune(task, backbone)
    if task.multilabel and (tuning or backbone == backbones.SCRATCH):
        raise TrainingFailed(
            _("Only a head on a frozen backbone learns categories that do not exclude each other.")
        )


def _splits(
    task: TrainingTask, seen: FeatureSet, usable: Sequence[Example]
) -> tuple[ArraySplit, ArraySplit]:
    """Return vectors and labels to learn from, and those to validate with."""
    train, validation = (
        split_arrays(
            usable,
            seen.vectors,
            which,
            class_names=task.class_names,
            multilabel=task.multilabel,
        )
        for which in ("train", "validation")
    )
    return train, validation


def _learn_head(
    task: TrainingTask, seen: FeatureSet, usable: Sequence[Example], progress: Progress
) -> head.FittedHead:
    def watch(done: int, total: int, _note: str) -> None:
        progress(done, total, _("Learning the categories"))

    return head.fit_head(*_splits(task, seen, usable), len(task.class_names), watch=watch)


def _fine_tune(
    task: TrainingTask,
    seen: FeatureSet,
    learned: head.FittedHead,
    usable: Sequence[Example],
    progress: Progress,
) -> tuple[FeatureSet, head.FittedHead, Sequence[Example]]:
    """Let the top of the backbone learn as well; what does not help changes nothing but curves and
    notes.
    """
    tuned = finetuning.fine_tune_if_better(
        task, seen.network, learned.head, seen.vectors, usable, progress
    )
    curves, notes = {**seen.curves, **tuned.curves}, [*seen.notes, *tuned.notes]
    if not tuned.better:
        return replace(seen, curves=curves, notes=notes), learned, usable
    frozen = seen.backbone["digest"]
    digest = finetuning.tuned_digest(seen.network, frozen)
    backbone = {**seen.backbone, "digest": digest, "frozen": False, "tuned_from": frozen}
    learned = replace(learned, head=tuned.head, validation_loss=tuned.validation_loss)
    return FeatureSet(seen.network, backbone, tuned.vectors, curves, notes), learned, tuned.examples


def _too_few(validation: int, known: OutOfDistributionDetector | None) -> list[str]:
    notes = []
    if validation < head.MIN_TO_CHOOSE:
        notes.append(
            _("Too few validation samples to choose the regularisation: its default was taken.")
        )
    if known is None:
        text = _(
            "This model cannot tell pictures that look like nothing it has learned: for that it "
            "needs %(needed)d "
            "validation samples, and there are %(count)d."
        )
        notes.append(text % {"needed": MIN_REFERENCES, "count": validation})
    return notes


def _left_out(count: int) -> list[str]:
    if not count:
        return []
    text = ngettext(
        "%(count)d sample was left out: its picture was not kept and this backbone has not seen it "
        "before.",
        "%(count)d samples were left out: their pictures were not kept and this backbone has not "
        "seen them before.",
        count,
    )
    return [text % {"count": count}]

"""The local trainer: from examples, through feature vectors and a head on them, to a bundle."""

import importlib.util
from collections.abc import Collection, Mapping, Sequence
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
from training.data.examples import Example, check_categories
from training.errors import TrainingFailed
from training.features.neighbours import Neighbourhood, find_nearest_cached
from training.trainers.base import BaseTrainer, TrainedModel, TrainingTask
from training.trainers.local import extraction, finetuning, head, selection
from training.trainers.local.bundling import export_bundle
from training.trainers.local.known_head import known_head


class LocalTrainer(BaseTrainer):
    """Learns a head on a frozen backbone, or a whole small network (`scratch`) and a head on that.

    Parameters of a task: `backbone` (a name, see `backbones`, or `auto`, see `selection`);
    `weights` (for ImageNet backbones: path of a file); `epochs` (for scratch and fine-tuning: at
    most so many); `fine_tune` (true: the top of the backbone learns as well).
    """

    has_vectors = True

    def __init__(self, *, alias: str, predictor: str = "keras") -> None:
        super().__init__(alias=alias)
        self.predictor = predictor

    def backbone_names(self) -> Sequence[str]:
        return backbones.backbone_names()

    def inspection_backbone(self) -> str:
        return backbones.INSPECTION

    def multilabel_backbone_names(self) -> Sequence[str]:
        # `scratch` learns with a softmax, under which categories exclude each other
        return [name for name in backbones.backbone_names() if name != backbones.SCRATCH]

    def retired_backbone(self, name: str) -> str:
        return backbones.retired_sentence(name)

    def supports_fine_tuning(self, backbone: str) -> bool:
        # The augmentation is of the centred square
        able = (*backbones.FROZEN, backbones.AUTO)
        return backbone in able and backbone != backbones.INSPECTION

    def check(self) -> list[CheckMessage]:
        if importlib.util.find_spec("tensorflow"):
            return []
        message = (
            f"TRAINERS['{self.alias}'] needs TensorFlow, which is not installed: this process "
            "cannot train."
        )
        return [
            Warning(
                message,
                hint="Install requirements.txt, or train on another machine.",
                id="training.W001",
            )
        ]

    def train(self, task: TrainingTask, progress: Progress = no_progress) -> TrainedModel:
        # Without the test split: it measures the model afterwards, and nothing may fit to it
        fitting = [each for each in task.examples if each.split in ("train", "validation")]
        task = replace(task, examples=fitting)
        backbone = str(task.parameters.get("backbone") or settings.DEFAULT_BACKBONE)
        fine_tune = bool(task.parameters.get(finetuning.PARAMETER))
        _check_task(task, backbone, fine_tune=fine_tune)

        # Where each step ends, in percent: fine-tuning takes the most time, if it is asked for
        extracted, fitted_at = (40, 45) if fine_tune else (70, 80)
        part = subrange(progress, 0, extracted)
        fitted = None
        if backbone == backbones.AUTO:
            features, fitted = selection.extract_with_best(task, part)
        elif backbone == backbones.SCRATCH:
            features = extraction.train_and_extract(task, part)
        else:
            features = extraction.extract_frozen(backbone, task, part)
        left_out = len(task.examples) - len(features.examples)
        # Again: the only picture of a category may have turned out unreadable
        check_categories(task.class_names, features.examples, known=task.known)

        fitted = fitted or head.fit_head(
            *features.splits(task),
            len(task.class_names),
            prior=known_head(backbone, task),
            progress=subrange(progress, extracted, fitted_at),
        )
        if fine_tune:
            features, fitted = finetuning.fine_tune_if_better(
                task, features, fitted, subrange(progress, fitted_at, 80)
            )
        # Split anew: fine-tuning may have changed the vectors, and left examples out
        train, validation = features.splits(task)
        # Those that the network itself has learned from look nearer to it than any new ones
        frozen = bool(features.backbone["frozen"])
        detector = OutOfDistributionDetector.fit(
            train, validation[0], parts=features.parts, leave_one_out=frozen
        )
        references = len(validation[1]) + frozen * len(train[1])
        bundle = export_bundle(task, features, fitted, detector, subrange(progress, 80, 100))

        # Without validation samples there is no validation loss, and an empty curve is no curve
        curves = {"loss": fitted.losses, "validation_loss": fitted.validation_losses}
        return TrainedModel(
            predictor=self.predictor,
            reference=bundle.reference,
            class_names=task.class_names,
            digest=bundle.digest,
            manifest=bundle.manifest,
            curves=dict(features.curves) | {name: each for name, each in curves.items() if each},
            notes=[*features.notes, *_notes(left_out, len(validation[1]), references)],
        )

    def uses_known_categories(self, backbone: str) -> bool:
        name = backbone or settings.DEFAULT_BACKBONE
        # `auto` chooses among some that do
        return name == backbones.AUTO or backbones.knows_imagenet(name)

    def start_without_pictures(
        self, task: TrainingTask, progress: Progress = no_progress
    ) -> TrainedModel:
        features = extraction.extract_frozen(
            backbones.KNOWS_IMAGENET, task, subrange(progress, 0, 40)
        )
        known = known_head(backbones.KNOWS_IMAGENET, task)
        if known is None or task.examples or not all(map(task.known.get, task.class_names)):
            raise ValueError("Some of these categories are to be learned from pictures.")
        fitted = head.FittedHead(known, l2=0.0, fits=(), losses=(), validation_losses=())
        bundle = export_bundle(task, features, fitted, None, subrange(progress, 40, 100))
        return TrainedModel(
            predictor=self.predictor,
            reference=bundle.reference,
            class_names=task.class_names,
            digest=bundle.digest,
            manifest=bundle.manifest,
        )

    def predict_proba(
        self, model: ModelRef, examples: Sequence[Example], progress: Progress = no_progress
    ) -> np.ndarray:
        """See the base. Uses cached feature vectors and the plain head; needs no TensorFlow."""
        bundle = bundles.open_bundle(model, bundles.HEAD, bundles.COMPILED_MODEL)
        vectors = extraction.vectors_for_bundle(bundle, examples, progress)
        # NaN says that this example cannot be scored, see the base
        scores = np.full((len(examples), len(model.class_names)), np.nan)
        rows = [row for row, example in enumerate(examples) if example.sha256 in vectors]
        if rows:
            matrix = np.stack([vectors[examples[row].sha256] for row in rows])
            scores[rows] = head.Head.from_file(bundle.paths[bundles.HEAD]).probabilities(matrix)
        return scores

    def feature_vectors(
        self, model: ModelRef, examples: Sequence[Example], progress: Progress = no_progress
    ) -> Mapping[str, np.ndarray]:
        """See the base. Needs no TensorFlow."""
        bundle = bundles.open_bundle(model, bundles.COMPILED_MODEL)
        if not bundle.manifest["backbone"]["frozen"]:
            return {}
        return extraction.vectors_for_bundle(bundle, examples, progress)

    def ood_p_values(
        self, model: ModelRef, examples: Sequence[Example], progress: Progress = no_progress
    ) -> np.ndarray | None:
        """See the base."""
        bundle = bundles.open_bundle(model, bundles.COMPILED_MODEL, if_there=bundles.SCOPE)
        if bundles.SCOPE not in bundle.paths:
            return None  # it was learned with too few validation samples, see `fit`
        vectors = extraction.vectors_for_bundle(bundle, examples, progress)
        rows = [vectors[example.sha256] for example in examples if example.sha256 in vectors]
        if not rows:
            return np.empty(0)
        detector = OutOfDistributionDetector.from_file(bundle.paths[bundles.SCOPE])
        return detector.p_values(np.stack(rows))

    def nearest_samples(
        self,
        model: ModelRef,
        asked: Example,
        learned: Collection[str],
        count: int,
        progress: Progress = no_progress,
    ) -> Neighbourhood | None:
        """See the base. The vectors are those that the head learned from; needs no TensorFlow."""
        bundle = bundles.open_bundle(model, bundles.COMPILED_MODEL)
        cache = extraction.cache_for_bundle(bundle)
        if cache is None:
            return None  # a network that learned itself: its vectors are kept nowhere
        vector = extraction.vector_for_bundle(bundle, asked)
        return None if vector is None else find_nearest_cached(cache, vector, learned, count)


def _check_task(task: TrainingTask, backbone: str, *, fine_tune: bool) -> None:
    """Raise TrainingFailed, before any work, for what this trainer cannot do."""
    check_categories(task.class_names, task.examples, known=task.known)
    if fine_tune:
        finetuning.check_can_fine_tune(task, backbone)
    # Both learn with the softmax's loss
    if task.multilabel and (fine_tune or backbone == backbones.SCRATCH):
        raise TrainingFailed(
            _("Only a head on a frozen backbone learns categories that do not exclude each other.")
        )


def _notes(left_out: int, validation_count: int, references: int) -> list[str]:
    """Return lines for the log of the run: samples and abilities that the model lacks."""
    notes = []
    if left_out:
        text = ngettext(
            "%(count)d sample was left out: its picture was not kept and this backbone has not "
            "seen it before.",
            "%(count)d samples were left out: their pictures were not kept and this backbone has "
            "not seen them before.",
            left_out,
        )
        notes.append(text % {"count": left_out})
    if validation_count < head.MIN_TO_CHOOSE:
        notes.append(
            _("Too few validation samples to choose the regularisation: its default was taken.")
        )
    if references < MIN_REFERENCES:
        text = _(
            "This model cannot tell pictures that look like nothing it has learned: for that it "
            "needs %(needed)d samples to compare with, and there are %(count)d."
        )
        notes.append(text % {"needed": MIN_REFERENCES, "count": references})
    return notes

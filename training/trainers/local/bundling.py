"""What was learned becomes a bundle that the local predictor serves: exported, checked, written."""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.utils.translation import gettext as _

from common.progress import Progress
from predictions.predictors.local import bundles
from predictions.predictors.local.engine import LiteRtEngine
from predictions.predictors.local.ood_detector import OutOfDistributionDetector
from training.backbones.base import Backbone
from training.data import examples
from training.errors import TrainingFailed
from training.trainers.base import TrainingTask
from training.trainers.local import agreement, export, head
from training.trainers.local.extraction import FeatureSet

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-4  # by how much a probability of the export may differ from Keras
PARITY_PICTURES = 32


@dataclass(frozen=True)
class ParityReport:
    """How far Keras and the compiled model were apart; `drawn` pictures are noise."""

    pictures: int
    drawn: int
    same_top1: int
    max_difference: float
    tolerance: float = TOLERANCE

    def as_manifest(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Exported:
    """What serves a model: the files, its input's side, its features, and how it was checked."""

    files: Mapping[str, bytes]
    input_size: int
    features: int
    checked: Mapping[str, Any]


@dataclass(frozen=True)
class StoredBundle:
    """What finds a bundle again and proves that it is the same, and its facts."""

    reference: str
    digest: str
    manifest: Mapping[str, Any]


def export_bundle(
    task: TrainingTask,
    features: FeatureSet,
    fitted: head.FittedHead,
    detector: OutOfDistributionDetector | None,
    progress: Progress,
) -> StoredBundle:
    """Check what is going to serve, and write the bundle.

    Raises:
        TrainingFailed: it answers differently from what was trained; nothing is kept then.
    """
    exported = (
        _copy_backbone(task, features, features.frozen, fitted, progress)
        if features.network is None and features.frozen
        else _compile_network(task, features, fitted, progress)
    )
    progress(3, 4, _("Keeping the model"))
    files = {**exported.files, bundles.HEAD: fitted.head.to_bytes()}
    if detector:
        files[bundles.SCOPE] = detector.to_bytes()
    manifest = _manifest(task, features, fitted, exported)
    reference, digest = bundles.write_bundle(task.project, files, manifest)
    progress(4, 4, _("Model kept"))
    return StoredBundle(reference, digest, manifest)


def _copy_backbone(
    task: TrainingTask,
    features: FeatureSet,
    backbone: Backbone,
    fitted: head.FittedHead,
    progress: Progress,
) -> _Exported:
    """Serve by the very file that the vectors came from; the head is applied to what it gives."""
    progress(0, 4, _("Comparing the compiled model with the trained one"))
    report = agreement.check_agreement(
        backbone, fitted.head, features.validation_examples(), task.class_names
    )
    served = export.export_backbone(backbone).read_bytes()
    return _Exported(
        {bundles.COMPILED_MODEL: served},
        backbone.input_size,
        backbone.features,
        {"engine": report.as_manifest()},
    )


def _compile_network(
    task: TrainingTask, features: FeatureSet, fitted: head.FittedHead, progress: Progress
) -> _Exported:
    """Compile network and head as one, and compare the result with Keras."""
    progress(0, 4, _("Compiling the model"))
    network = features.trainable_network()
    size = int(network.input_shape[1])
    model = export.build_serving_model(network, fitted.head, size)
    compiled = export.export_litert(model)
    progress(2, 4, _("Comparing the compiled model with the trained one"))
    pixels, _unread = examples.load_pixels(
        examples.evenly_spaced(features.examples, PARITY_PICTURES),
        size,
        preparation=features.preparation,
    )
    # The engine reads a file; what it is given are the very bytes that will be served
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / bundles.COMPILED_MODEL
        path.write_bytes(compiled)
        parity = check_parity(
            model,
            LiteRtEngine(path),
            list(pixels.values()),
            seed=task.seed,
            exclusive=not task.multilabel,
        )
    files = {bundles.KERAS_MODEL: export.save_reproducibly(model), bundles.COMPILED_MODEL: compiled}
    width = int(network.output_shape[-1])
    return _Exported(files, size, width, {"parity": parity.as_manifest()})


def check_parity(
    model: "keras.Model",
    engine: LiteRtEngine,
    pixels: Sequence[np.ndarray],
    *,
    seed: int,
    exclusive: bool = True,
) -> ParityReport:
    """Compare the two on these pictures, or on random ones if there are none.

    Where the categories are not `exclusive`, several may be first: one as probable, within
    TOLERANCE, is the same.

    Raises:
        TrainingFailed: a first choice differs, or a probability by more than `TOLERANCE`.
    """
    if pixels:
        asked = np.stack(pixels)
    else:
        # Of the demo only vectors are kept. Noise also shows a wrong conversion
        shape = (PARITY_PICTURES, engine.input_size, engine.input_size, 3)
        asked = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    keras_answers = np.asarray(model.predict_on_batch(asked)["probabilities"])
    engine_answers = engine.run(asked)["probabilities"]
    # How probable the engine finds what Keras puts first: of equals, argmax may name another
    picked = np.take_along_axis(engine_answers, keras_answers.argmax(1)[:, None], axis=1)[:, 0]
    report = ParityReport(
        pictures=len(pixels),
        drawn=0 if pixels else len(asked),
        same_top1=int((picked >= engine_answers.max(1) - (0 if exclusive else TOLERANCE)).sum()),
        max_difference=float(np.abs(keras_answers - engine_answers).max()),
    )
    # `not <=` and not `>`: a difference that is NaN fails as well
    if report.same_top1 < len(asked) or not report.max_difference <= TOLERANCE:
        raise TrainingFailed(
            _(
                "The compiled model does not answer as the trained one does: the first choice is "
                "the same for %(same)d of %(all)d pictures, and probabilities differ by up to "
                "%(difference).2g (%(tolerance).0e is allowed). The model was not kept. Please "
                "report this."
            )
            % {
                "same": report.same_top1,
                "all": len(asked),
                "difference": report.max_difference,
                "tolerance": TOLERANCE,
            }
        )
    return report


def _manifest(
    task: TrainingTask, features: FeatureSet, fitted: head.FittedHead, exported: _Exported
) -> dict[str, Any]:
    """Return the facts that belong to a model. No time and no machine: the same gets the same."""
    return {
        "class_names": list(task.class_names),
        "input_size": exported.input_size,
        "preprocessing": {
            "name": features.preparation.name,
            "digest": features.preparation.digest,
        },
        "activation": fitted.head.activation,
        "temperature": fitted.head.temperature,
        "backbone": {**features.backbone, "features": exported.features},
        "head": {
            "l2": fitted.l2,
            "validation_loss": fitted.validation_loss,
            "tried": [
                {"l2": fit.l2, "validation_loss": fit.validation_loss} for fit in fitted.fits
            ],
        },
        "data": {
            "digest": examples.examples_digest(features.examples),
            "splits": dict(Counter(example.split for example in features.examples)),
        },
        "seed": task.seed,
        "libraries": export.library_versions(),
        **exported.checked,
    }

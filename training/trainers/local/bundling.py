"""From what was learned to a bundle that the local predictor serves: exported, compared with Keras,
written.
"""

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.utils.translation import gettext as _

from common.progress import Progress
from predictions.predictors.local import bundles, preprocessing
from predictions.predictors.local.engine import LiteRtEngine
from predictions.predictors.local.ood_detector import OutOfDistributionDetector
from training.data import examples
from training.data.examples import Example
from training.errors import TrainingFailed
from training.trainers.base import TrainingTask
from training.trainers.local import export, head
from training.trainers.local.extraction import FeatureSet

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-4  # by how much a probability of the export may differ from Keras
PARITY_PICTURES = 32


@dataclass(frozen=True)
class ParityReport:
    """How far Keras and the engine were apart: `drawn` pictures are noise, for lack of real
    ones.
    """

    pictures: int
    drawn: int
    same_top1: int
    max_difference: float
    tolerance: float = TOLERANCE

    def as_manifest(self) -> dict[str, Any]:
        return asdict(self)


def export_bundle(
    task: TrainingTask,
    seen: FeatureSet,
    learned: head.FittedHead,
    known: OutOfDistributionDetector | None,
    usable: Sequence[Example],
    progress: Progress,
) -> tuple[str, str, dict[str, Any]]:
    """Export the model, check the export, write the bundle; return its reference, digest and
    manifest.
    """
    progress(0, 4, _("Compiling the model"))
    size = int(seen.network.input_shape[1])
    model = export.build_serving_model(seen.network, learned.head, size)
    compiled = export.export_litert(model)
    progress(2, 4, _("Comparing the compiled model with the trained one"))
    pictures, _unreadable = examples.load_pixels(
        examples.evenly_spaced(usable, PARITY_PICTURES), size
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / bundles.COMPILED_MODEL
        path.write_bytes(compiled)
        agreement = check_parity(
            model,
            LiteRtEngine(path),
            list(pictures.values()),
            seed=task.seed,
            exclusive=not task.multilabel,
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
            "tried": [
                {"l2": fit.l2, "validation_loss": fit.validation_loss} for fit in learned.fits
            ],
        },
        "data": {
            "digest": examples.examples_digest(usable),
            "splits": dict(Counter(example.split for example in usable)),
        },
        "seed": task.seed,
        "libraries": export.library_versions(),
        "parity": agreement.as_manifest(),
    }
    files = {
        bundles.KERAS_MODEL: export.save_reproducibly(model),
        bundles.COMPILED_MODEL: compiled,
        bundles.HEAD: learned.head.to_bytes(),
    }
    if known:
        files[bundles.SCOPE] = known.to_bytes()
    reference, digest = bundles.write_bundle(task.project, files, manifest)
    progress(4, 4, _("Model kept"))
    return reference, digest, manifest


def check_parity(
    model: "keras.Model",
    engine: LiteRtEngine,
    pixels: Sequence[np.ndarray],
    *,
    seed: int,
    exclusive: bool = True,
) -> ParityReport:
    """Compare the two on these pictures, or on random ones where there are none.

    Where the categories are not `exclusive`, several may be first: one as probable, within
    TOLERANCE, is the same.

    Raises:
        TrainingFailed: a first choice differs, or a probability by more than `TOLERANCE`.
    """
    real = (
        np.stack(pixels)
        if pixels
        else np.empty((0, engine.input_size, engine.input_size, 3), np.uint8)
    )
    noise = np.random.default_rng(seed).integers(
        0,
        256,
        (0 if len(real) else PARITY_PICTURES, engine.input_size, engine.input_size, 3),
        dtype=np.uint8,
    )
    asked = np.concatenate([real, noise])
    keras_answers = np.asarray(model.predict_on_batch(asked)["probabilities"])
    engine_answers = engine.run(asked)["probabilities"]
    picked = np.take_along_axis(engine_answers, keras_answers.argmax(1)[:, None], axis=1)[:, 0]
    result = ParityReport(
        pictures=len(real),
        drawn=len(noise),
        same_top1=int((picked >= engine_answers.max(1) - (0 if exclusive else TOLERANCE)).sum()),
        max_difference=float(np.abs(keras_answers - engine_answers).max()),
    )
    if result.same_top1 < len(asked) or not result.max_difference <= TOLERANCE:
        raise TrainingFailed(
            _(
                "The compiled model does not answer as the trained one does: the first choice is "
                "the same for "
                "%(same)d of %(all)d pictures, and probabilities differ by up to %(difference).2g "
                "(%(tolerance).0e is allowed). The model was not kept. Please report this."
            )
            % {
                "same": result.same_top1,
                "all": len(asked),
                "difference": result.max_difference,
                "tolerance": TOLERANCE,
            }
        )
    return result

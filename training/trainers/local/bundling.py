"""From what was learned to a bundle that the local predictor serves: exported, compared with Keras,
written.
"""

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from common.progress import Progress
from predictions.predictors.local import bundles, preprocessing
from predictions.predictors.local.engine import LiteRtEngine
from predictions.predictors.local.ood_detector import OutOfDistributionDetector
from training.data import examples
from training.data.examples import Example
from training.trainers.base import TrainingTask
from training.trainers.local import export, head, parity
from training.trainers.local.extraction import FeatureSet


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
        examples.evenly_spaced(usable, parity.PARITY_PICTURES), size
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / bundles.COMPILED_MODEL
        path.write_bytes(compiled)
        agreement = parity.check_parity(
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

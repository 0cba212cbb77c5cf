"""Whether the compiled export answers as the Keras model does: checked on real pictures before a
model is kept.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from django.utils.translation import gettext as _

from predictions.predictors.local.engine import LiteRtEngine
from training.errors import TrainingFailed

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-4
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

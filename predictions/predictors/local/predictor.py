"""The local predictor: answers with a compiled network and a head on it, and needs no Keras."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.core.checks import CheckMessage, Error
from django.utils.translation import gettext as _

from common.media.images import Picture
from predictions.predictors.base import (
    BasePredictor,
    ModelRef,
    PictureScores,
    PredictorError,
    Scores,
)
from predictions.predictors.loaded_models import LoadedModels
from predictions.predictors.local import bundles, occlusion, ood_detector, preprocessing
from predictions.predictors.local.engine import LiteRtEngine, shared_engine
from predictions.predictors.local.heads import Head
from predictions.predictors.local.ood_detector import OutOfDistributionDetector
from predictions.predictors.local.preprocessing import Preparation

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Loaded:
    """A model in memory.

    The head is applied here where the compiled network ends with feature vectors; None: it holds
    the head itself. Bundles of older versions have no scope.
    """

    engine: LiteRtEngine
    head: Head | None
    scope: OutOfDistributionDetector | None
    preparation: Preparation

    def run(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Return `probabilities` and `features`. Raises PredictorError if the engine fails."""
        try:
            outputs = self.engine.run(pixels)
        except (RuntimeError, ValueError) as error:
            logger.exception("Model %s failed while it answered", self.engine.path)
            raise PredictorError(
                _("The model failed while processing the picture. Promote another one.")
            ) from error
        if self.head:
            outputs["probabilities"] = self.head.probabilities(outputs["features"])
        return outputs


class LocalPredictor(BasePredictor[Picture]):
    """Serves model bundles (see `bundles`); the `models_in_memory` last used ones stay loaded."""

    def __init__(self, *, alias: str, models_in_memory: int = 4) -> None:
        super().__init__(alias=alias)
        self.models_in_memory = models_in_memory
        self._models = LoadedModels(_open, most=models_in_memory)

    def predict(
        self, pictures: Sequence[Picture], model: ModelRef, *, augment: bool = False
    ) -> list[Scores]:
        return [answer.scores for answer in self.predict_scored(pictures, model, augment=augment)]

    def predict_scored(
        self, pictures: Sequence[Picture], model: ModelRef, *, augment: bool = False
    ) -> list[PictureScores]:
        """See the base. Familiarity is of all that the model sees without augmentation."""
        loaded = self._models[model]
        crops = preprocessing.crops_of(augment)
        images = [picture.image for picture in pictures]
        pixels = preprocessing.crop_batch(
            images, loaded.engine.input_size, crops=crops, preparation=loaded.preparation
        )
        outputs = loaded.run(pixels)
        rows = (
            outputs["probabilities"]
            .reshape(len(pictures), len(crops), len(model.class_names))
            .mean(axis=1, dtype=np.float64)
            .clip(0, 1)
        )
        scores = [dict(zip(model.class_names, row, strict=True)) for row in rows.tolist()]
        if loaded.scope is None or not scores:
            return [PictureScores(each) for each in scores]
        # Of each picture's first crop, as the detector's references were seen.
        familiarity = loaded.scope.p_values(outputs["features"][:: len(crops)])
        return [
            PictureScores(each, value, value <= ood_detector.REJECTION_LEVEL)
            for each, value in zip(scores, familiarity.tolist(), strict=True)
        ]

    def least_side(self, model: ModelRef, *, augment: bool = False) -> int | None:
        return preprocessing.min_side_for(
            self._models[model].engine.input_size, crops=preprocessing.crops_of(augment)
        )

    def explain(self, picture: Picture, model: ModelRef) -> np.ndarray:
        """See the base; by `occlusion`, without the crops of test-time augmentation."""
        loaded = self._models[model]
        pixels = preprocessing.crop_and_scale(
            picture.image, loaded.engine.input_size, preparation=loaded.preparation
        )
        return occlusion.occlusion_sensitivity(
            lambda batch: loaded.run(batch)["probabilities"], pixels
        )

    def warm_up(self, model: ModelRef) -> None:
        self._models[model]

    def check(self) -> list[CheckMessage]:
        if self.models_in_memory >= 1:
            return []
        message = f"PREDICTORS['{self.alias}'] keeps no model in memory."
        return [
            Error(
                message, hint="Set the option models_in_memory to 1 or more.", id="predictions.E002"
            )
        ]


def _open(model: ModelRef) -> _Loaded:
    bundle = bundles.open_bundle(model, bundles.COMPILED_MODEL, if_there=bundles.SCOPE)
    if tuple(bundle.manifest["class_names"]) != model.class_names:
        raise PredictorError(
            _("The model knows other categories than its version says. Promote another version.")
        )
    preparation = preprocessing.preparation_of(bundle.manifest)
    if preparation is None:
        raise PredictorError(
            _(
                "The model was trained for another way of preparing pictures. Train a new one with "
                "this version."
            )
        )
    try:
        digest = bundle.manifest["files"][bundles.COMPILED_MODEL]
        engine = shared_engine(bundle.paths[bundles.COMPILED_MODEL], digest)
        head = None
        if "probabilities" not in engine.outputs:
            head = Head.from_file(bundles.open_bundle(model, bundles.HEAD).paths[bundles.HEAD])
        # Once now, so that the first user does not wait while the engine sets its memory up.
        blank = np.zeros((1, engine.input_size, engine.input_size, 3), np.uint8)
        first = _Loaded(engine, head, None, preparation).run(blank)
        if first["probabilities"].shape != (1, len(model.class_names)):
            raise ValueError("The model's output does not fit its categories.")
        known = (
            OutOfDistributionDetector.from_file(bundle.paths[bundles.SCOPE])
            if bundles.SCOPE in bundle.paths
            else None
        )
        if known and known.learned.shape[1] != first["features"].shape[1]:
            raise ValueError("The model's scope does not fit its feature vectors.")
    except (RuntimeError, ValueError, KeyError) as error:
        raise PredictorError(
            _("The model's compiled file cannot be run. Promote another version.")
        ) from error
    return _Loaded(engine, head, known, preparation)

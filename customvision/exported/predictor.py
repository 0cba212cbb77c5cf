"""Serves models that Custom Vision exported: with LiteRT or ONNX Runtime, never with TensorFlow."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.utils.translation import gettext as _

from common.media.images import Picture
from customvision.exported import engines, refusals
from customvision.exported.engines import Engine
from customvision.exported.pixels import Preprocessing
from customvision.exported.refusals import Refused
from predictions.predictors.base import BasePredictor, ModelRef, PredictorError, Scores
from predictions.predictors.loaded_models import LoadedModels
from predictions.predictors.local import bundles, preprocessing

logger = logging.getLogger(__name__)

ALIAS = "exported"  # of this predictor in the settings
FILES = {engines.TFLITE: bundles.COMPILED_MODEL, engines.ONNX: bundles.ONNX_MODEL}


@dataclass(frozen=True)
class _Loaded:
    engine: Engine
    definition: Preprocessing


class ExportedPredictor(BasePredictor[Picture]):
    """Serves what `model_import` made a bundle of: verified by its digests before it is loaded.

    The `models_in_memory` last used models stay loaded; each runs with `ENGINE_THREADS`.
    """

    def __init__(self, *, alias: str, models_in_memory: int = 4) -> None:
        super().__init__(alias=alias)
        self.models_in_memory = models_in_memory
        self._models = LoadedModels(_open, most=models_in_memory)

    def predict(
        self, pictures: Sequence[Picture], model: ModelRef, *, augment: bool = False
    ) -> list[Scores]:
        loaded = self._models[model]
        crops = preprocessing.crops_of(augment)
        found = []
        for picture in pictures:
            prepared = (loaded.definition.prepare(picture.image, crop=crop) for crop in crops)
            try:
                rows = [loaded.engine.run(each) for each in prepared]
            except (RuntimeError, ValueError) as error:
                logger.exception("Model %s failed while it answered", model.reference)
                raise PredictorError(
                    _("The model failed while processing the picture. Promote another one.")
                ) from error
            mean = np.mean(rows, axis=0, dtype=np.float64).clip(0, 1)
            found.append(dict(zip(model.class_names, mean.tolist(), strict=True)))
        return found

    def least_side(self, model: ModelRef, *, augment: bool = False) -> int | None:
        needed = self._models[model].definition.least_side
        return (
            needed
            if needed is None
            else int(np.ceil(needed / min(preprocessing.crops_of(augment))))
        )

    def warm_up(self, model: ModelRef) -> None:
        self._models[model]

    def check(self) -> list[CheckMessage]:
        if self.models_in_memory >= 1:
            return []
        message = f"PREDICTORS['{self.alias}'] keeps no model in memory."
        hint = "Set the option models_in_memory to 1 or more."
        return [Error(message, hint=hint, id="customvision.E001")]


def _open(model: ModelRef) -> _Loaded:
    """Load a model, its files verified. Raises PredictorError or PredictorUnavailable."""
    bundle = bundles.open_bundle(model)
    facts = bundle.manifest.get("exported")
    if not facts or facts.get("kind") not in FILES:
        raise PredictorError(
            _("“%(reference)s” is not a model of this predictor. Promote another model version.")
            % {"reference": model.reference}
        )
    if tuple(bundle.manifest["class_names"]) != model.class_names:
        raise PredictorError(
            _("The model knows other categories than its version says. Promote another version.")
        )
    try:
        definition = Preprocessing.from_facts(facts["preprocessing"])
        engine = engines.load_engine(
            facts["kind"],
            bundle.paths[FILES[facts["kind"]]],
            facts["labels"],
            threads=settings.ENGINE_THREADS,
        )
        # Sets memory up, too
        first = engine.run(np.zeros((engine.height, engine.width, 3), np.float32))
        if first.shape != (len(model.class_names),):
            raise Refused("output", f"{first.shape}")
    except Refused as error:
        raise PredictorError(refusals.sentence(error)) from error
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise PredictorError(
            _("The model's compiled file cannot be run. Promote another version.")
        ) from error
    return _Loaded(engine, definition)

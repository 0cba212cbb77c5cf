"""The text predictor: serves text bundles by numpy; the first question loads an encoder."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.core.checks import CheckMessage, Error
from django.utils.translation import gettext as _

from common.media.texts import Text
from predictions.predictors.base import (
    BasePredictor,
    ModelRef,
    PictureScores,
    PredictorError,
    Scores,
)
from predictions.predictors.loaded_models import LoadedModels
from predictions.predictors.local import bundles, ood_detector
from predictions.predictors.local.ood_detector import OutOfDistributionDetector
from predictions.predictors.text import encoders, ngrams, occlusion
from predictions.predictors.text.encoders import Encoder
from predictions.predictors.text.model import TextHead, TextModel
from predictions.predictors.text.ngrams import Vocabulary

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Loaded:
    model: TextModel
    scope: OutOfDistributionDetector | None


class TextPredictor(BasePredictor[Text]):
    """Serves text bundles (see `bundles`); the `models_in_memory` last used ones stay loaded."""

    modalities = ("text",)
    at_once = 64

    def __init__(self, *, alias: str, models_in_memory: int = 4) -> None:
        super().__init__(alias=alias)
        self.models_in_memory = models_in_memory
        self._models = LoadedModels(_open, most=models_in_memory)

    def predict(
        self, pictures: Sequence[Text], model: ModelRef, *, augment: bool = False
    ) -> list[Scores]:
        return [answer.scores for answer in self.predict_scored(pictures, model, augment=augment)]

    def predict_scored(
        self, pictures: Sequence[Text], model: ModelRef, *, augment: bool = False
    ) -> list[PictureScores]:
        """See the base. There is nothing to augment in a text."""
        if not pictures:
            return []
        loaded = self._models[model]
        rows, vectors = loaded.model.run([each.text for each in pictures])
        scores = [dict(zip(model.class_names, row, strict=True)) for row in rows.tolist()]
        if loaded.scope is None:
            return [PictureScores(each) for each in scores]
        familiarity = loaded.scope.p_values(vectors)
        return [
            PictureScores(each, value, value <= ood_detector.REJECTION_LEVEL)
            for each, value in zip(scores, familiarity.tolist(), strict=True)
        ]

    def explain(self, picture: Text, model: ModelRef) -> np.ndarray:
        """See the base: of each part that `occlusion.parts_of` finds."""
        return occlusion.occlusion_sensitivity(self._models[model].model.log_odds, picture.text)

    def warm_up(self, model: ModelRef) -> None:
        self._models[model]

    def check(self) -> list[CheckMessage]:
        if self.models_in_memory >= 1:
            return []
        message = f"PREDICTORS['{self.alias}'] keeps no model in memory."
        return [
            Error(
                message, hint="Set the option models_in_memory to 1 or more.", id="predictions.E019"
            )
        ]


def open_model(model: ModelRef) -> tuple[bundles.ModelBundle, TextModel]:
    """Return a text bundle and what it computes.

    Raises:
        PredictorError: it is broken, of another kind, or its encoder is not here.
        PredictorUnavailable: the storage does not answer now.
    """
    bundle = bundles.open_bundle(model, bundles.TEXT_HEAD, bundles.TERMS)
    if tuple(bundle.manifest["class_names"]) != model.class_names:
        raise PredictorError(
            _("The model knows other categories than its version says. Promote another version.")
        )
    encoder = bundled_encoder(model, bundle)
    backbone = bundle.manifest["backbone"]
    if encoder.digest != backbone["digest"] or bundle.manifest["terms"]["digest"] != ngrams.DIGEST:
        raise PredictorError(
            _(
                "The model was trained for another way of reading texts. Train a new one with this "
                "version."
            )
        )
    try:
        head = TextHead.from_file(bundle.paths[bundles.TEXT_HEAD])
        if len(head.bias) != len(model.class_names):
            raise ValueError("The model's output does not fit its categories.")
        return bundle, TextModel(encoder, Vocabulary.from_file(bundle.paths[bundles.TERMS]), head)
    except (ValueError, KeyError, TypeError) as error:
        raise PredictorError(
            _("The model's head cannot be read. Promote another version.")
        ) from error


def bundled_encoder(model: ModelRef, bundle: bundles.ModelBundle) -> Encoder:
    """Return the encoder of a bundle: one of ours by its name, or the one in the bundle itself."""
    if bundle.manifest["backbone"]["name"] != encoders.ONNX:
        return encoders.load_encoder(bundle.manifest["backbone"]["name"])
    paths = bundles.open_bundle(model, bundles.ONNX_MODEL, bundles.TOKENIZER).paths
    return encoders.OnnxEncoder(
        paths[bundles.ONNX_MODEL].read_bytes(), paths[bundles.TOKENIZER].read_bytes()
    )


def _open(model: ModelRef) -> _Loaded:
    bundle, opened = open_model(model)
    scope = None
    if bundles.SCOPE in bundle.manifest["files"]:
        path = bundles.open_bundle(model, bundles.SCOPE).paths[bundles.SCOPE]
        try:
            scope = OutOfDistributionDetector.from_file(path)
            if scope.learned.shape[1] != opened.encoder.width:
                raise ValueError("The model's scope does not fit its feature vectors.")
        except (ValueError, KeyError) as error:
            raise PredictorError(
                _("The model's head cannot be read. Promote another version.")
            ) from error
    opened.run(["a"])  # once now, so that the first user does not wait
    return _Loaded(opened, scope)

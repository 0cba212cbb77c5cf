"""The predictor that asks Azure Custom Vision: an answer within ten seconds, or a reason."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from django.core.checks import CheckMessage, Error
from django.utils.translation import gettext as _
from PIL import Image

from common.backends import NotTried, PermissionCheck, check_permission
from common.media.images import Picture
from customvision.client import encoding, rate_limits
from customvision.client.circuit_breaker import CircuitBreaker
from customvision.client.client import CustomVisionClient
from customvision.client.errors import AccessDenied, RequestRejected, ServiceBusy
from customvision.client.resource import Resource
from predictions.predictors.base import (
    BasePredictor,
    ModelRef,
    PredictorError,
    PredictorUnavailable,
    Scores,
)
from predictions.predictors.local import preprocessing

logger = logging.getLogger(__name__)

# For one picture, whatever is tried; with all the rest a user waits for twelve at most
BUDGET_SECONDS = 10.0
TRY_SECONDS = 6.0  # so there is time for a second try
APPLICATION = "classifr"  # the service stores it with each prediction
PROBE_SECONDS = 20.0
SETTINGS = "AZURE_CUSTOM_VISION"


@dataclass(frozen=True)
class PublishedModel:
    """Where a model is at Azure: the reference of its version, "project/iteration/name"."""

    project: str
    iteration: str
    published_name: str

    def __str__(self) -> str:
        return f"{self.project}/{self.iteration}/{self.published_name}"

    @classmethod
    def parse(cls, text: str) -> "PublishedModel":
        """Return the parts of a reference. Raises PredictorError for a text that is none."""
        # The name comes last, as it may hold slashes
        project, _slash, rest = text.partition("/")
        iteration, _slash, name = rest.partition("/")
        if not (project and iteration and name):
            raise PredictorError(
                _(
                    "This model version does not say where its model is at Azure. Promote another "
                    "one."
                )
            )
        return cls(project, iteration, name)


class CustomVisionPredictor(BasePredictor[Picture]):
    """Serves published iterations of Custom Vision.

    Test-time augmentation asks about each crop. That costs three calls for a picture, which share
    its budget.

    Args:
        endpoint, key: of the prediction resource.
        tier: "F0" or "S0", which says how many calls per second are allowed.
        store: whether the service stores pictures and predictions, to show them in its portal.
    """

    # Each prediction is paid for: it must not be lost because a later one of the batch failed
    at_once = 1

    def __init__(
        self,
        *,
        alias: str,
        endpoint: str = "",
        key: str = "",
        tier: str = "S0",
        store: bool = False,
    ) -> None:
        super().__init__(alias=alias)
        self.tier, self.store = tier, store
        known = (
            rate_limits.PREDICTIONS_PER_SECOND
            if store
            else rate_limits.PREDICTIONS_PER_SECOND_UNKEPT
        )
        self.client = CustomVisionClient(
            Resource("prediction", endpoint, key),
            # An unknown tier is an error of `check`; until it is corrected, call as slowly as F0
            per_second=known.get(tier, min(known.values())),
            try_seconds=TRY_SECONDS,
            breaker=CircuitBreaker(),
        )

    def predict(
        self, pictures: Sequence[Picture], model: ModelRef, *, augment: bool = False
    ) -> list[Scores]:
        crops = preprocessing.CROPS if augment else preprocessing.WHOLE
        return [self._scores(picture.image, model, crops) for picture in pictures]

    def warm_up(self, model: ModelRef) -> None:
        """Ask about a grey picture, unstored, which proves that published name and key work."""
        self._ask(
            Image.new("RGB", (64, 64), "grey"),
            model,
            time.monotonic() + BUDGET_SECONDS,
            store=False,
        )

    def missing_settings(self) -> list[str]:
        given = {
            "PREDICTION_ENDPOINT": self.client.resource.endpoint,
            "PREDICTION_KEY": self.client.resource.key,
        }
        return [f"{SETTINGS}_{name}" for name, value in given.items() if not value]

    def probe(self) -> Iterator[PermissionCheck]:
        yield check_permission("prediction key", self._try_key)

    def check(self) -> list[CheckMessage]:
        messages: list[CheckMessage] = []
        if len(missing := self.missing_settings()) == 1:
            message = f"{missing[0]} is not set, but the other half of it is."
            messages.append(
                Error(message, hint="Set both, or neither of them.", id="predictions.E021")
            )
        if self.tier not in rate_limits.PREDICTIONS_PER_SECOND:
            message = f"{SETTINGS}_TIER is '{self.tier}'."
            hint = f"Choose one of: {', '.join(rate_limits.PREDICTIONS_PER_SECOND)}."
            messages.append(Error(message, hint=hint, id="predictions.E022"))
        if problem := self.client.resource.problem():
            message = f"{SETTINGS}_PREDICTION_ENDPOINT {problem}"
            hint = (
                "Copy it from the page “Keys and Endpoint” of the resource: "
                "https://NAME.cognitiveservices.azure.com/"
            )
            messages.append(Error(message, hint=hint, id="predictions.E023"))
        return messages

    def _try_key(self) -> str:
        """Ask about a project that does not exist: with a valid key the service says just that."""
        if names := self.client.resource.unset():
            raise NotTried(f"not set: {', '.join(names)}")
        picture = encoding.encode_picture(Image.new("RGB", (32, 32)))
        nobody = str(UUID(int=0))
        try:
            self.client.call(
                "classify_image_with_no_store", nobody, "none", picture, within=PROBE_SECONDS
            )
        except RequestRejected as error:
            if not error.reason.startswith(("NotFound", "BadRequest")):
                raise
        return f"accepted by {self.client.resource.endpoint}"

    def _scores(self, image: Image.Image, model: ModelRef, crops: Sequence[float]) -> Scores:
        deadline = time.monotonic() + BUDGET_SECONDS
        answers = []
        for crop in crops:
            seen = image
            if crop != 1:  # else the whole picture: the service scales it itself
                side = max(1, int(min(image.size) * crop))
                left, top = (image.width - side) // 2, (image.height - side) // 2
                seen = image.crop((left, top, left + side, top + side))
            answers.append(self._ask(seen, model, deadline, store=self.store))
        means = np.mean(
            [[answer[name] for name in model.class_names] for answer in answers], axis=0
        ).clip(0, 1)
        return dict(zip(model.class_names, means.tolist(), strict=True))

    def _ask(self, image: Image.Image, model: ModelRef, deadline: float, *, store: bool) -> Scores:
        reference = PublishedModel.parse(model.reference)
        if self.missing_settings():
            raise PredictorUnavailable(
                _("The prediction service is not set up. A maintainer has to do that.")
            )
        try:
            answer = self.client.call(
                "classify_image" if store else "classify_image_with_no_store",
                reference.project,
                reference.published_name,
                encoding.encode_picture(image),
                application=APPLICATION,
                within=deadline - time.monotonic(),
            )
        except ServiceBusy as error:
            raise PredictorUnavailable(
                error.message, retry_after_seconds=error.retry_after_seconds
            ) from None
        except AccessDenied as error:
            logger.error("Model %s cannot be asked: %s", model.reference, error)
            sentence = _(
                "The prediction service denies access. A maintainer has to check its key and quota."
            )
            raise PredictorUnavailable(sentence) from None
        except RequestRejected as error:
            if error.answered != 404:
                raise PredictorError(str(error)) from None
            logger.error("Model %s is no longer there: %s", model.reference, error)
            sentence = _("The model is no longer published at Azure. Promote another version.")
            raise PredictorError(sentence) from None
        return _checked_scores(answer, model)


def _checked_scores(answer: Any, model: ModelRef) -> Scores:
    # Floats of the service may lie outside of [0, 1] by a rounding error
    scores = {
        one.tag_name: min(1.0, max(0.0, float(one.probability))) for one in answer.predictions
    }
    # Another iteration may have been published under the name, in the portal of the service
    if set(scores) != set(model.class_names):
        raise PredictorError(
            _(
                "The published model at Azure knows other categories than its version says. "
                "Promote another version."
            )
        )
    return scores

"""What every predictor promises.

How to add one: subclass `BasePredictor`, name it in `PREDICTORS`, inherit the contract test.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from django.core.checks import CheckMessage
from django.utils.translation import gettext as _

from common.backends import Backends, PermissionCheck
from common.errors import DomainError, Unavailable
from common.media.content import Content

ContentT = TypeVar("ContentT", bound=Content)


class PredictorUnavailable(Unavailable):
    """The predictor cannot answer now; the same question may be answered later."""

    code = "predictor_unavailable"


class PredictorError(DomainError):
    """The predictor cannot answer this at all: the model is broken, or not one of its own."""

    code = "predictor_error"
    status = 503


class NotExplainable(DomainError):
    """Nobody can say what in the picture spoke for the answer of this model."""

    code = "not_explainable"
    status = 409


@dataclass(frozen=True)
class ModelRef:
    """All a predictor needs to know of a model version; a plain copy, no database row.

    `reference` is where the predictor finds the model, `class_names` are in the order of its
    outputs, `digest` is what the bytes of the model must hash to ("" where the predictor keeps them
    itself).
    """

    reference: str
    class_names: tuple[str, ...]
    digest: str = ""


Scores = dict[str, float]


@dataclass(frozen=True)
class PictureScores:
    """What a model says of one picture: its scores and, if it can tell, how familiar it looks.

    `familiarity` is in [0, 1], the p-value of the OOD detector; `is_unfamiliar` says that the model
    should rather not answer.
    """

    scores: Scores
    familiarity: float | None = None
    is_unfamiliar: bool = False


class BasePredictor(ABC, Generic[ContentT]):
    """Asks a model what is in some pictures, or in content of another kind; thread-safe.

    Knows bytes and dataclasses, neither requests nor rows. `at_once` is how many pictures a batch
    should ask about together, `modalities` the kinds of projects that it can answer in.
    """

    modalities: Sequence[str] = ("image",)

    at_once = 16

    def __init__(self, *, alias: str) -> None:
        self.alias = alias

    @abstractmethod
    def predict(
        self, pictures: Sequence[ContentT], model: ModelRef, *, augment: bool = False
    ) -> list[Scores]:
        """Return for every picture a probability in [0, 1] for each of `model.class_names`.

        Args:
            pictures: a batch; may be empty.
            model: which model answers.
            augment: average over the centre crops 1.0, 0.8 and 0.65 of every picture.

        Raises:
            PredictorUnavailable: try again later.
            PredictorError: do not try again.
        """

    def predict_scored(
        self, pictures: Sequence[ContentT], model: ModelRef, *, augment: bool = False
    ) -> list[PictureScores]:
        """Return the scores of `predict` and what else the model can tell; raises the same."""
        return [PictureScores(scores) for scores in self.predict(pictures, model, augment=augment)]

    def least_side(self, model: ModelRef, *, augment: bool = False) -> int | None:
        """Return how many pixels of a picture's shorter side `predict` needs at most; None for all.

        A decoded picture may then be smaller than it is stored. Raises as `predict` does.
        """
        return None

    def explain(self, picture: ContentT, model: ModelRef) -> np.ndarray:
        """Return how much each part of the centred square spoke for each category, in log-odds.

        Returns:
            Shape (rows, columns, K) in the order of `model.class_names`, of a text (parts, K);
            below zero: it spoke against.

        Raises:
            NotExplainable: this predictor cannot tell.
            PredictorUnavailable, PredictorError: as `predict`.
        """
        raise NotExplainable(_("The model that gave this answer cannot explain it."))

    def warm_up(self, model: ModelRef) -> None:
        """Make the first answer of this model quick. Raises as `predict` does."""
        return None

    def missing_settings(self) -> list[str]:
        """Return the settings that this predictor needs, and misses, to be used."""
        return []

    def probe(self) -> Iterable[PermissionCheck]:
        """Try one permission at its service after the other, and change nothing there."""
        return ()

    def check(self) -> list[CheckMessage]:
        """Say what is wrong with this predictor's configuration, for `manage.py check`."""
        return []


predictors: Backends[BasePredictor[Any]] = Backends("PREDICTORS", BasePredictor)  # type: ignore[type-abstract]

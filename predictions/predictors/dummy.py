"""A predictor for tests and for trying pages out: it looks at nothing but the average colour."""

from collections.abc import Sequence

import numpy as np

from common.media.images import Picture
from predictions.predictors.base import BasePredictor, ModelRef, Scores

INDEPENDENT = "dummy: independent"


class DummyPredictor(BasePredictor):
    """Answers with the class whose place on the grey scale is nearest to the picture's mean
    brightness.

    Of K classes the first is the darkest. The same picture always gets the same answer, and no
    model is needed. With the reference INDEPENDENT each class has a probability of its own: a half
    or more up to half a scale away.
    """

    def predict(
        self, pictures: Sequence[Picture], model: ModelRef, *, augment: bool = False
    ) -> list[Scores]:
        return [self._scores(picture, model) for picture in pictures]

    def _scores(self, picture: Picture, model: ModelRef) -> Scores:
        names = model.class_names
        brightness = int(np.asarray(picture.image.convert("L").resize((1, 1)))[0, 0])
        distances = [abs(brightness / 255 - (i + 0.5) / len(names)) for i in range(len(names))]
        if model.reference == INDEPENDENT:
            return {name: 1 - distance for name, distance in zip(names, distances, strict=True)}
        closeness = [1 / (0.05 + distance) for distance in distances]
        total = sum(closeness)
        return {name: value / total for name, value in zip(names, closeness, strict=True)}

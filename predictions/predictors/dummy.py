"""A predictor for tests and for trying pages out: it looks at nothing but the average colour."""

from collections.abc import Sequence

import numpy as np

from classifr.common.media.images import Picture
from predictions.predictors.base import BasePredictor, Scores, Servable


class DummyPredictor(BasePredictor):
    """Answers with the class whose place on the grey scale is nearest to the picture's mean brightness.

    Of K classes the first is the darkest. The same picture always gets the same answer, and no model is needed.
    """

    def predict(self, pictures: Sequence[Picture], model: Servable, *, augment: bool = False) -> list[Scores]:
        return [self._scores(picture, model.class_names) for picture in pictures]

    def _scores(self, picture: Picture, names: tuple[str, ...]) -> Scores:
        brightness = int(np.asarray(picture.image.convert("L").resize((1, 1)))[0, 0])
        closeness = [1 / (0.05 + abs(brightness / 255 - (i + 0.5) / len(names))) for i in range(len(names))]
        total = sum(closeness)
        return {name: value / total for name, value in zip(names, closeness, strict=True)}

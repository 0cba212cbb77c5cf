"""A predictor for tests and for trying pages out: it looks at the average colour, or the length."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from common.media.content import Content
from common.media.images import Picture
from predictions.predictors.base import BasePredictor, ModelRef, Scores

INDEPENDENT = "dummy: independent"


class DummyPredictor(BasePredictor[Any]):
    """Answers with the class whose place on the grey scale is nearest to the mean brightness.

    Of K classes the first is the darkest. The same picture always gets the same answer, and no
    model is needed. A text is as bright as it is long, up to 255 characters. With the reference
    INDEPENDENT each class has a probability of its own: a half or more up to half a scale away.
    """

    modalities = ("image", "text")

    def predict(
        self, pictures: Sequence[Content], model: ModelRef, *, augment: bool = False
    ) -> list[Scores]:
        names, answers = model.class_names, []
        for picture in pictures:
            brightness = _brightness(picture)
            distances = [abs(brightness / 255 - (i + 0.5) / len(names)) for i in range(len(names))]
            if model.reference == INDEPENDENT:
                values = [1 - distance for distance in distances]
            else:
                # Never certain, even where a picture is exactly as bright as a class.
                closeness = [1 / (0.05 + distance) for distance in distances]
                values = [each / sum(closeness) for each in closeness]
            answers.append(dict(zip(names, values, strict=True)))
        return answers


def _brightness(content: Content) -> int:
    """Return a number from 0 to 255."""
    if isinstance(content, Picture):
        return int(np.asarray(content.image.convert("L").resize((1, 1)))[0, 0])
    return min(255, len(content.data.decode()))

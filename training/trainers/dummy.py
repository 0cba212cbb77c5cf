"""A trainer for tests and demonstrations: it learns nothing, in no time."""

from collections.abc import Collection, Sequence

import numpy as np
from django.utils.translation import gettext as _

from common.media import images, texts
from common.media.content import Content
from common.media.images import Picture
from common.media.texts import Text
from common.progress import Progress, no_progress
from predictions.predictors.base import ModelRef
from predictions.predictors.dummy import INDEPENDENT, DummyPredictor
from training.data.examples import Example
from training.errors import TrainingFailed
from training.features.neighbours import Neighbour, Neighbourhood
from training.trainers.base import BaseTrainer, TrainedModel, TrainingTask

EPOCHS = 5


class DummyTrainer(BaseTrainer):
    """Makes models for the dummy predictor, which are nothing but class names."""

    modalities = ("image", "text")
    is_for_tests = True

    def __init__(self, *, alias: str, predictor: str = "dummy") -> None:
        super().__init__(alias=alias)
        self.predictor = predictor

    def backbone_names(self) -> Sequence[str]:
        return ["dummy"]

    def multilabel_backbone_names(self) -> Sequence[str]:
        return self.backbone_names()

    def uses_known_categories(self, backbone: str) -> bool:
        return True

    def start_without_pictures(
        self, task: TrainingTask, progress: Progress = no_progress
    ) -> TrainedModel:
        # It never looks at a picture anyway
        return self.train(task, progress)

    def train(self, task: TrainingTask, progress: Progress = no_progress) -> TrainedModel:
        if len(task.class_names) < 2:
            raise TrainingFailed(
                _("A model needs at least two categories to tell apart. Add another category.")
            )
        # Step by step, as a real trainer, so that pages and cancelling can be tried
        for epoch in range(EPOCHS + 1):
            progress(epoch, EPOCHS, _("Pretending to learn"))
        losses = [1 / epoch for epoch in range(1, EPOCHS + 1)]
        return TrainedModel(
            predictor=self.predictor,
            reference=INDEPENDENT if task.multilabel else "dummy",
            class_names=task.class_names,
            manifest={
                "class_names": list(task.class_names),
                "backbone": {"name": "dummy"},
                "seed": task.seed,
            },
            curves={"loss": losses, "validation_loss": [loss * 1.1 for loss in losses]},
        )

    def predict_proba(
        self, model: ModelRef, examples: Sequence[Example], progress: Progress = no_progress
    ) -> np.ndarray:
        predictor = DummyPredictor(alias=self.predictor)
        rows = np.full((len(examples), len(model.class_names)), np.nan)
        for place, example in enumerate(examples):
            progress(place, len(examples), _("Looking at the pictures"))
            if example.read is not None:
                data = example.read()
                picture = _content(data, example.sha256)
                (scores,) = predictor.predict([picture], model)
                rows[place] = [scores[name] for name in model.class_names]
        return rows

    def nearest_samples(
        self,
        model: ModelRef,
        asked: Example,
        learned: Collection[str],
        count: int,
        progress: Progress = no_progress,
    ) -> Neighbourhood | None:
        # To it all samples are alike, and most of all the same one
        ranked = sorted(learned, key=lambda each: (each != asked.sha256, each))
        return Neighbourhood([Neighbour(each, 1.0) for each in ranked[:count]], len(learned))


def _content(data: bytes, sha256: str) -> Content:
    """Return a stored picture or text of ours, whichever it is."""
    try:
        return Text(texts.decode_stored(data), data, sha256)
    except OSError:  # the first bytes of a picture are no UTF-8
        return Picture(images.decode_stored(data), data, images.stored_media_type(data), sha256)

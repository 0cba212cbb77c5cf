"""What every trainer promises.

How to add one: subclass here, name it in `TRAINERS`, inherit its contract test.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.core.checks import CheckMessage
from django.utils.translation import gettext as _

from common.backends import Backends, PermissionCheck
from common.progress import Progress, no_progress
from predictions.predictors.base import ModelRef
from training.data.examples import Example
from training.errors import TrainingFailed
from training.features.neighbours import Neighbourhood


@dataclass(frozen=True)
class TrainingTask:
    """What is to be learned, from what, and how.

    `in_use` are the references of models that answer now or would after a roll-back: they have to
    stay servable. `multilabel`: the categories do not exclude each other, so each has a probability
    of its own.
    """

    project: str  # slug, for readable references
    class_names: tuple[str, ...]
    examples: Sequence[Example]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    project_id: str = ""  # what stays the same when the slug does not
    in_use: Sequence[str] = ()
    multilabel: bool = False
    # Classes that a network taught on ImageNet knows, to the numbers of ImageNet's classes. Of
    # these, some may have no examples
    known: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainedModel:
    """A model that its predictor can serve from now on; not registered yet."""

    predictor: str  # alias in PREDICTORS
    reference: str
    class_names: tuple[str, ...]
    digest: str = ""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    # Digests of samples of the test split that it had to learn from all the same: not asked about
    # when it is measured
    learned_from_test: Sequence[str] = ()


class BaseTrainer(ABC):
    """Learns a model from examples.

    It knows bytes and dataclasses, no rows, and may import heavy libraries when it works.
    `modalities` are the kinds of projects that it can learn for. `asks_a_service`: scoring pictures
    costs calls elsewhere, so it is done only where somebody asked for it.
    """

    modalities: Sequence[str] = ("image",)
    has_vectors = False  # whether `feature_vectors` may give any
    asks_a_service = False
    is_for_tests = False  # learns nothing, so pages do not offer it

    def __init__(self, *, alias: str) -> None:
        self.alias = alias

    @abstractmethod
    def train(self, task: TrainingTask, progress: Progress = no_progress) -> TrainedModel:
        """Learn from the train split, choose on the validation split, leave the test split alone.

        Raises:
            TrainingFailed: with a sentence for the person who asked.
            Cancelled: passed on from `progress`.
        """

    @abstractmethod
    def predict_proba(
        self, model: ModelRef, examples: Sequence[Example], progress: Progress = no_progress
    ) -> np.ndarray:
        """Return the probabilities of N examples, shape (N, K), in the order of `class_names`.

        A row of NaN is an example that this model cannot score: its picture was not kept.
        """

    def ood_p_values(
        self, model: ModelRef, examples: Sequence[Example], progress: Progress = no_progress
    ) -> np.ndarray | None:
        """Return the OOD p-value, in [0, 1], of each example that can be scored.

        None if the model has no OOD detector, see `predictions.predictors.local.ood_detector`.
        """
        return None

    def feature_vectors(
        self, model: ModelRef, examples: Sequence[Example], progress: Progress = no_progress
    ) -> Mapping[str, np.ndarray]:
        """Return the feature vectors of examples by sample, as far as there are any.

        Only those of a frozen backbone, which has not learned from the examples itself.
        """
        return {}

    def nearest_samples(
        self,
        model: ModelRef,
        asked: Example,
        learned: Collection[str],
        count: int,
        progress: Progress = no_progress,
    ) -> Neighbourhood | None:
        """Return which of the samples that a model learned from are most like an example to it.

        Args:
            asked: `read` gives the sample, unless its feature vector is cached.
            learned: digests of samples.

        Returns:
            By the cosine of feature vectors; None if this model keeps no vectors of what it learned
            from, or if there is no vector of the example.
        """
        return None

    def backbone_names(self) -> Sequence[str]:
        """Return the values that the parameter `backbone` may have, the default first."""
        return []

    def inspection_backbone(self) -> str:
        """Return the default of projects whose pictures are inspected; "": as for any other."""
        return ""

    def knows_backbone(self, name: str) -> bool:
        """Return whether the parameter `backbone` may have this value: a path, perhaps."""
        return name in self.backbone_names()

    def multilabel_backbone_names(self) -> Sequence[str]:
        """Return the `backbone_names` that can learn categories which do not exclude each other."""
        return []

    def retired_backbone(self, name: str) -> str:
        """Return why a backbone of an earlier version is gone; "" for any other name."""
        return ""

    def supports_fine_tuning(self, backbone: str) -> bool:
        """Return whether the parameter `fine_tune` may be set with this backbone."""
        return False

    def uses_known_categories(self, backbone: str) -> bool:
        """Return whether `known` of a task helps with this backbone ("": the default)."""
        return False

    def start_without_pictures(
        self, task: TrainingTask, progress: Progress = no_progress
    ) -> TrainedModel:
        """Return a model of categories that are all `known`, from no example at all.

        Raises:
            TrainingFailed: this trainer cannot.
        """
        raise TrainingFailed(
            _("This trainer learns from pictures alone. Choose another one, or add pictures.")
        )

    def missing_settings(self) -> list[str]:
        """Return the settings that this trainer needs and has not got."""
        return []

    def probe(self) -> Iterable[PermissionCheck]:
        """Try each permission of this trainer at its service, and change nothing there."""
        return ()

    def check(self) -> list[CheckMessage]:
        """Return what is wrong with this trainer's configuration, for `manage.py check`."""
        return []


trainers: Backends[BaseTrainer] = Backends("TRAINERS", BaseTrainer)  # type: ignore[type-abstract]

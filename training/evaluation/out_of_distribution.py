"""How many pictures of its own kind a model would refuse as out of distribution."""

from dataclasses import dataclass

from common.progress import Progress, no_progress
from predictions.predictors.base import ModelRef
from predictions.predictors.local.ood_detector import REJECTION_LEVEL
from training.data import datasets
from training.evaluation.significance import wilson_interval
from training.models import DatasetItem, DatasetVersion, TrainingRun
from training.trainers.base import BaseTrainer

Split = DatasetItem.Split
SPLITS = (Split.VALIDATION, Split.TEST)


@dataclass(frozen=True)
class RejectionShare:
    """The pictures of one split, and how many of them would be refused."""

    split: str
    count: int
    unfamiliar: int

    @property
    def share(self) -> float | None:
        return self.unfamiliar / self.count if self.count else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson_interval(self.unfamiliar, self.count)


def count_rejected(
    trainer: BaseTrainer, model: ModelRef, dataset: DatasetVersion, progress: Progress = no_progress
) -> dict[str, dict[str, int]]:
    """Return `count` and `unfamiliar` by split, as plain data; nothing without an OOD detector.

    The validation pictures are among the detector's references, so the test pictures are the check.
    """
    counts = {}
    for split in SPLITS:
        asked = [example for _pk, example in datasets.load_examples_by_sample(dataset, split)]
        p_values = trainer.ood_p_values(model, asked, progress)
        if p_values is None:
            return {}
        counts[split.value] = {
            "count": len(p_values),
            # As serving decides: up to this level is refused
            "unfamiliar": int((p_values <= REJECTION_LEVEL).sum()),
        }
    return counts


def rejection_shares(run: TrainingRun) -> list[RejectionShare]:
    """Return what was counted at the end of a run: of validation, then of test."""
    return [
        RejectionShare(split.value, **run.unfamiliar[split])
        for split in SPLITS
        if split in run.unfamiliar
    ]

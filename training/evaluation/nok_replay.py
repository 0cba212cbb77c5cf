"""Every NOK asked again: whether a new model has right what users had called wrong.

A picture counts once a reviewer has decided what it shows. Those that the model has learned from
are told apart from those that it has not: only the latter say how well it will do on others.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from django.db.models import Exists, OuterRef, Subquery

from common.progress import Progress, no_progress
from predictions import registry
from predictions.models import Category, Feedback, ModelVersion, Project, Promotion, Sample
from predictions.predictors.base import ModelRef
from review import ground_truth
from training.data import datasets
from training.data.examples import Example
from training.data.groups import find_groups
from training.evaluation.counts import confusion_matrix, count_multilabel
from training.models import DatasetItem, DatasetVersion, NokReplay
from training.trainers.base import BaseTrainer

MOST_REPLAYED = 5000  # the newest; asking about more would take longer than training


@dataclass(frozen=True)
class Replay:
    """What a model says now of a picture that a user had said NOK to."""

    sample: int
    answer: str  # the most probable category, by its present name
    is_right: bool
    was_learned_from: bool


@dataclass(frozen=True)
class ReplayCounts:
    """How many NOKs a version has right, of those it learned from and of the others."""

    learned: int = 0
    learned_right: int = 0
    unseen: int = 0
    unseen_right: int = 0

    @property
    def count(self) -> int:
        return self.learned + self.unseen

    @property
    def right(self) -> int:
        return self.learned_right + self.unseen_right


def replay_noks(
    trainer: BaseTrainer,
    model: ModelRef,
    names: Sequence[str],
    dataset: DatasetVersion,
    progress: Progress = no_progress,
) -> list[Replay]:
    """Ask a model, registered or not, about every reviewed NOK that it can score.

    Args:
        names: what its classes are called now.
        dataset: what it has learned from.
    """
    examples = _reviewed_noks(dataset.project)
    if not examples:
        return []
    scores = trainer.predict_proba(model, list(examples.values()), progress)
    can_tell = ~np.isnan(scores).any(axis=1)
    scores = scores[can_tell]
    asked = {
        sample: example
        for (sample, example), ok in zip(examples.items(), can_tell, strict=True)
        if ok
    }
    shown = {sample: example.categories for sample, example in asked.items()}
    known = sorted({name for each in shown.values() for name in each} | set(names))
    count = count_multilabel if dataset.project.multilabel else confusion_matrix
    _counts, right = count(scores, names, shown, known)
    learned = set(
        dataset.items.exclude(split=DatasetItem.Split.TEST).values_list("sample", flat=True)
    )
    return [
        Replay(sample, names[int(row.argmax())], right[sample], sample in learned)
        for sample, row in zip(asked, scores, strict=True)
    ]


def store_replays(version: ModelVersion, replays: Iterable[Replay]) -> None:
    """Write down what a registered version says; call it in the transaction that registers it."""
    keys = {name: key for name, key in registry.class_categories_now(version) if key}
    NokReplay.objects.bulk_create(
        (
            NokReplay(
                model_version=version,
                sample_id=each.sample,
                answer_id=keys.get(each.answer),
                is_right=each.is_right,
                was_learned_from=each.was_learned_from,
            )
            for each in replays
        ),
        batch_size=2000,
    )


def count_replays(version: ModelVersion) -> ReplayCounts:
    rows = NokReplay.objects.filter(model_version=version).values_list(
        "was_learned_from", "is_right"
    )
    marks = list(rows)
    learned = [is_right for was_learned, is_right in marks if was_learned]
    unseen = [is_right for was_learned, is_right in marks if not was_learned]
    return ReplayCounts(len(learned), sum(learned), len(unseen), sum(unseen))


def live_replays(samples: Iterable[Sample]) -> Mapping[int, NokReplay]:
    """Return what the live models of their projects say of some samples, by the sample's id."""
    newest = Promotion.objects.filter(project=OuterRef("sample__project")).order_by("-id")
    rows = NokReplay.objects.filter(
        sample__in=list(samples), model_version=Subquery(newest.values("model_version")[:1])
    )
    return {row.sample_id: row for row in rows.select_related("answer", "model_version")}


def _reviewed_noks(project: Project) -> dict[int, Example]:
    """Return the newest labelled samples that somebody said NOK to, by their ids."""
    said_nok = Feedback.objects.filter(
        prediction__sample=OuterRef("pk"), verdict=Feedback.Verdict.NOK
    )
    rows = ground_truth.labelled_samples(project).filter(Exists(said_nok)).order_by("-pk")
    names = dict(Category.everywhere.filter(project=project).values_list("pk", "name"))
    additional = ground_truth.additional_categories(project)
    groups = find_groups(project)
    return {
        sample.pk: Example(
            sample.sha256,
            names[sample.true_category_id],  # type: ignore[attr-defined]
            datasets.split_of(groups.deciding_digest(sample.pk, sample.sha256)),
            datasets.picture_reader(sample),
            tuple(names[key] for key in additional.get(sample.pk, ())),
        )
        for sample in rows[:MOST_REPLAYED]
    }

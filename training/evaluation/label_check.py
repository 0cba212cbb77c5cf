"""Likely label errors of a data set: found after a run, judged by people, never corrected alone."""

from collections.abc import Sequence

import numpy as np
from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from common import jobs
from common.errors import Conflict
from common.progress import Progress, no_progress, subrange
from common.storages import StorageUnavailable
from common.tasks import task
from common.transactions import durable_transaction
from predictions import registry
from predictions.models import Project, Sample
from review import decisions, leases
from review.models import Decision
from training.data import contradictions, datasets, near_duplicates
from training.data.examples import Example
from training.data.groups import find_groups
from training.evaluation.confident_learning import Doubt, find_doubts
from training.features.cache import Vectors
from training.models import DatasetVersion, DoubtfulLabel, KeptLabel, LabelCheck, TrainingRun
from training.trainers.base import trainers

MOST_DOUBTS = 2_000  # kept of a check, the most doubtful first

Labelled = tuple[int, Example]  # the key of a sample, and what it is


class NotDoubted(Conflict):
    """Nobody doubts this label any more."""

    code = "not_doubted"


def request_check(run: TrainingRun) -> None:
    """Have the labels of a run's data set checked, if its model has feature vectors.

    Call it in the transaction that registers the model.
    """
    if trainers[run.trainer].has_vectors and not run.project.multilabel:
        check_in_background.enqueue(run_key=run.pk)


# On the queue of training runs, as it takes as much of the machine
@task(
    "training.check_labels",
    queue="training",
    title=gettext_lazy("Look for labels that may be wrong"),
)
def check_in_background(progress: Progress, run_key: int) -> None:
    """Check the labels that a run has learned from. Safe to repeat; a data set is checked once."""
    run = TrainingRun.objects.select_related("project", "dataset", "model_version")
    found = run.filter(pk=run_key).exclude(model_version=None).first()
    if found is None or found.model_version is None:
        return
    labelled = datasets.load_examples_by_sample(found.dataset)
    examples = [example for _sample, example in labelled]
    model = registry.model_ref(found.model_version)
    try:
        vectors = dict(
            trainers[found.trainer].feature_vectors(model, examples, subrange(progress, 0, 50))
        )
    except StorageUnavailable as error:
        raise jobs.RetryLater(str(error)) from error
    backbone = str(found.model_version.manifest.get("backbone", {}).get("digest", ""))
    keys = [(sample, example.sha256) for sample, example in labelled]
    near_duplicates.find_by_vectors(
        found.project, keys, vectors, backbone, subrange(progress, 50, 60)
    )
    contradictions.request_review(found.project)
    check_labels(found.dataset, labelled, vectors, subrange(progress, 60, 100))


def check_labels(
    dataset: DatasetVersion,
    labelled: Sequence[Labelled],
    vectors: Vectors,
    progress: Progress = no_progress,
) -> LabelCheck | None:
    """Find the doubtful labels of a data set by the vectors of its samples, and keep them.

    Returns None, and keeps nothing, where there are no vectors.
    """
    if existing := LabelCheck.objects.filter(dataset=dataset).first():
        return existing
    usable = [each for each in labelled if each[1].sha256 in vectors]
    if not usable:
        return None
    names = sorted({example.category for _sample, example in usable})
    place = {name: number for number, name in enumerate(names)}
    labels = np.array([place[example.category] for _sample, example in usable])
    groups = find_groups(dataset.project)
    matrix = np.stack([vectors[example.sha256] for _sample, example in usable])
    group_of = [groups.key(sample) for sample, _example in usable]
    found = find_doubts(matrix, labels, group_of, len(names), progress=progress)
    return _keep(dataset, usable, names, found[:MOST_DOUBTS], _Evidence(matrix, labels, group_of))


class _Evidence:
    """Finds what speaks for a label: the nearest sample that carries it, of another group."""

    def __init__(self, matrix: np.ndarray, labels: np.ndarray, groups: Sequence[int]) -> None:
        self.matrix, self.labels, self.groups = matrix, labels, np.array(groups)
        self.norms = np.maximum(np.linalg.norm(matrix, axis=1), 1e-12)

    def nearest(self, row: int, label: int) -> int | None:
        """Return the row of the nearest sample with this label, or None."""
        able = (self.labels == label) & (self.groups != self.groups[row])
        if not able.any():
            return None
        # Without a copy of the matrix, which may have 100,000 rows
        return int(np.where(able, self.matrix @ self.matrix[row] / self.norms, -np.inf).argmax())


def open_doubts(project: Project) -> QuerySet[DoubtfulLabel]:
    """Return the doubtful labels of the newest check that nobody has judged, worst first.

    Only those of samples whose content was kept: of others nobody can see what they show.
    """
    newest = LabelCheck.objects.filter(dataset__project=project).order_by("-dataset__number")
    replaced = Decision.objects.filter(sample=OuterRef("sample"), pk__gt=OuterRef("decision"))
    kept = KeptLabel.objects.filter(
        sample=OuterRef("sample"), category=OuterRef("decision__category")
    )
    return (
        DoubtfulLabel.objects.filter(label_check__in=newest.values("pk")[:1])
        .filter(~Exists(replaced), ~Exists(kept))
        .exclude(sample__location=Sample.Location.NOWHERE)
        .select_related(
            "sample__project",
            "decision__category",
            "suggested",
            "nearest_as_given",
            "nearest_as_suggested",
        )
        .order_by(F("quality") - F("probability"), "pk")
    )


def newest_check(project: Project) -> LabelCheck | None:
    """Return the check of the newest data set that was checked."""
    checks = LabelCheck.objects.filter(dataset__project=project).select_related("dataset")
    return checks.order_by("-dataset__number").first()


def keep_label(project: Project, key: int, *, by: User) -> DoubtfulLabel:
    """Note that a doubted label is right; it is not doubted again.

    Raises:
        NotDoubted: somebody has judged it in the meantime.
    """
    doubt = _open(project, key)
    KeptLabel.objects.get_or_create(
        sample=doubt.sample, category=doubt.decision.category, defaults={"by": by}
    )
    return doubt


@durable_transaction()
def correct_label(project: Project, key: int, *, by: User) -> DoubtfulLabel:
    """Decide that a doubted sample shows the suggested category: one more decision.

    Raises:
        NotDoubted: somebody has judged it in the meantime.
        Conflict: a reviewer is looking at the sample.
    """
    doubt = _open(project, key)
    if not leases.acquire(doubt.sample, by):
        raise Conflict(_("Another reviewer is looking at this sample now. Take the next one."))
    decisions.label_sample(
        doubt.sample, doubt.suggested, by=by, reason=_("The label was likely to be wrong.")
    )
    return doubt


def _open(project: Project, key: int) -> DoubtfulLabel:
    doubt = open_doubts(project).filter(pk=key).first()
    if doubt is None:
        raise NotDoubted(_("Somebody has judged this label in the meantime. Take the next one."))
    return doubt


@transaction.atomic
def _keep(
    dataset: DatasetVersion,
    usable: Sequence[Labelled],
    names: Sequence[str],
    doubts: Sequence[Doubt],
    evidence: _Evidence,
) -> LabelCheck:
    """Write a check with its doubts, whole or not at all, and once if two workers did it."""
    DatasetVersion.objects.select_for_update().get(pk=dataset.pk)
    if existing := LabelCheck.objects.filter(dataset=dataset).first():
        return existing
    check = LabelCheck.objects.create(dataset=dataset, checked=len(usable))
    categories = {each.name: each for each in dataset.project.categories.filter(name__in=names)}
    samples = [usable[doubt.row][0] for doubt in doubts]
    in_force = {
        decision.sample_id: decision
        for decision in Decision.objects.in_force().filter(sample__in=samples)
    }
    place = {name: number for number, name in enumerate(names)}

    def nearest(row: int, label: int) -> int | None:
        found = evidence.nearest(row, label)
        return None if found is None else usable[found][0]

    DoubtfulLabel.objects.bulk_create(
        (
            DoubtfulLabel(
                label_check=check,
                sample_id=sample,
                decision=decision,
                suggested=suggested,
                quality=min(1.0, doubt.quality),
                probability=min(1.0, doubt.probability),
                nearest_as_given_id=nearest(doubt.row, place[usable[doubt.row][1].category]),
                nearest_as_suggested_id=nearest(doubt.row, doubt.suggested),
            )
            for doubt, sample in zip(doubts, samples, strict=True)
            # Decided otherwise since the data set was frozen: nothing is left to doubt
            if (decision := in_force.get(sample))
            and decision.category is not None
            and decision.category.name == usable[doubt.row][1].category
            and (suggested := categories.get(names[doubt.suggested]))
        ),
        batch_size=500,
    )
    return check

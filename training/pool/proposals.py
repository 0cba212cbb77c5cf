"""The pool: pictures without a label, ranked by how much a label of each would teach.

A worker ranks and a page reads what was ranked. What is chosen for what it would teach is no fair
sample of what people send, so it must never measure a model. As the digest of a picture decides its
split beforehand, only pictures of the train split are chosen so; those of the validation and the
test split are drawn at random, three in ten. So labels from the pool keep the shares of the splits,
and every one that measures is an honest audit of the pool.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from common import jobs
from common.errors import DomainError
from common.models import Job
from common.progress import Progress, subrange
from common.tasks import task
from predictions import registry
from predictions.models import ModelVersion, Project, Sample
from review import ground_truth
from review.models import Lease, Skip
from training.data.datasets import Split, picture_reader, split_of
from training.data.examples import Example
from training.data.groups import find_groups
from training.evaluation import evaluations
from training.models import PoolRanking, Proposal
from training.pool import ranking
from training.pool.vectors import pool_vectors

# What a worker has in memory: of a larger pool the first digests, which are a draw at random
CANDIDATES = 6_000
LABELLED = 2_000
PROPOSED = 100
DRAWN_OF_TEN = 3  # the share of the validation and the test split
FEW_LEFT = PROPOSED // 2  # with fewer proposals left the pool is ranked anew


def pool_samples(project: Project) -> QuerySet[Sample]:
    """Return the pictures of a project that have no label and are there to be learned from.

    A picture that a user sent is kept for a while only, unless the project keeps all.
    """
    samples = ground_truth.undecided_samples(project).filter(media_type__startswith="image/")
    if project.keeps_everything:
        return samples
    return samples.exclude(origin=Sample.Origin.UPLOAD)


def request_ranking(project: Project) -> None:
    """Have a worker rank the pool, unless one is asked already."""
    if project.modality == Project.Modality.IMAGE:
        with suppress(jobs.AlreadyEnqueued):
            rank_pool.using(key=_key(project)).enqueue(project_key=project.pk)


def newest_ranking_job(project: Project) -> Job | None:
    return Job.objects.filter(kind=rank_pool.kind, key=_key(project)).order_by("-pk").first()


def newest_ranking(project: Project) -> PoolRanking | None:
    return project.pool_rankings.select_related("model_version").order_by("-pk").first()


def open_proposals(
    found: PoolRanking, reviewer: User | None = None, *, limit: int | None = None
) -> list[Proposal]:
    """Return the proposals of a ranking that have no label yet, in their order.

    With a reviewer: without those that others are looking at and those that the reviewer skipped.
    """
    left = found.proposals.filter(ground_truth.is_undecided("sample")).exclude(
        sample__location=Sample.Location.NOWHERE
    )
    if reviewer:
        leased = Lease.objects.filter(sample=OuterRef("sample"), until__gt=timezone.now())
        skipped = Skip.objects.filter(sample=OuterRef("sample"), reviewer=reviewer)
        left = left.exclude(Exists(leased.exclude(reviewer=reviewer))).exclude(Exists(skipped))
    return list(left.select_related("sample")[:limit])


@dataclass(frozen=True)
class ProposalAnswer:
    """A proposal with the scores of the model that was live when the pool was ranked.

    `scores` are by the present names of the categories, the most probable first; none if no model
    could be asked.
    """

    proposal: Proposal
    scores: list[tuple[str, float]]


def with_answers(found: PoolRanking, rows: Sequence[Proposal]) -> list[ProposalAnswer]:
    """Return proposals of a ranking with the names that belong to their scores."""
    names = registry.class_names_now(found.model_version) if found.model_version else []
    return [
        ProposalAnswer(
            row,
            sorted(zip(names, row.scores, strict=True), key=lambda each: -each[1])
            if len(row.scores) == len(names)
            else [],
        )
        for row in rows
    ]


def ranking_when_few_are_left(project: Project) -> None:
    """Have the pool ranked anew where most of what was proposed has a label by now."""
    found = newest_ranking(project)
    if found is None or found.pool <= found.proposals.count():
        return  # everything was proposed
    if len(open_proposals(found, limit=FEW_LEFT)) < FEW_LEFT:
        request_ranking(project)


@task(
    "training.rank_pool",
    queue="training",
    max_attempts=3,
    stored_as={"project_key": "project"},
    title=gettext_lazy("Rank the pictures without a label"),
)
def rank_pool(progress: Progress, project_key: int) -> None:
    """Rank the pool of a project and keep the first of it; safe to repeat."""
    project = Project.objects.filter(pk=project_key).first()
    if project is None:
        return
    pool = pool_samples(project)
    size, candidates = pool.count(), list(pool.order_by("sha256")[:CANDIDATES])
    groups = find_groups(project)
    to_rank: list[Sample] = []
    drawn: list[Sample] = []
    for each in candidates:
        split = split_of(groups.deciding_digest(each.pk, each.sha256))
        (to_rank if split == Split.TRAIN else drawn).append(each)
    version, scores = _scores(project, [*to_rank, *drawn[:PROPOSED]], subrange(progress, 0, 40))
    chosen = _most_instructive(project, to_rank, scores, subrange(progress, 40, 100))
    proposed = mix(chosen, drawn, PROPOSED)
    with transaction.atomic():
        # Locked, so that of two workers the later one leaves the earlier one's nowhere
        Project.objects.select_for_update().get(pk=project.pk)
        project.pool_rankings.all().delete()
        found = PoolRanking.objects.create(project=project, model_version=version, pool=size)
        Proposal.objects.bulk_create(
            Proposal(
                ranking=found,
                sample=sample,
                place=place,
                is_drawn=is_drawn,
                scores=scores.get(sample.pk, []),
            )
            for place, (sample, is_drawn) in enumerate(proposed)
        )


def mix(chosen: Sequence[Sample], drawn: Sequence[Sample], count: int) -> list[tuple[Sample, bool]]:
    """Return up to `count` samples in turn, and whether each was drawn: three in every ten.

    Where one kind has come to its end, the other goes on.
    """
    one, other = iter(chosen), iter(drawn)
    mixed: list[tuple[Sample, bool]] = []
    while len(mixed) < count:
        # The third, the sixth and the ninth of ten
        is_turn_of_drawn = len(mixed) % 10 in (2, 5, 8)[:DRAWN_OF_TEN]
        for is_drawn in (is_turn_of_drawn, not is_turn_of_drawn):
            if (sample := next(other if is_drawn else one, None)) is not None:
                mixed.append((sample, is_drawn))
                break
        else:
            break
    return mixed


def _most_instructive(
    project: Project,
    samples: Sequence[Sample],
    scores: Mapping[int, list[float]],
    progress: Progress,
) -> list[Sample]:
    """Return the samples whose labels would teach most, in their order."""
    if not samples:
        return []
    labelled = list(ground_truth.labelled_samples(project).order_by("sha256")[:LABELLED])
    known = pool_vectors(project, [*samples, *labelled], progress)
    rows = [each for each in (*samples, *labelled) if each.sha256 in known]
    if not rows:
        return []
    units = ranking.unit_rows(np.stack([known.pop(each.sha256) for each in rows]))
    is_labelled = np.isin([each.pk for each in rows], [each.pk for each in labelled])
    margin_of = None
    if scores:
        margin_of = np.full(len(rows), np.nan)
        asked = [place for place, each in enumerate(rows) if each.pk in scores]
        margin_of[asked] = ranking.margins(np.array([scores[rows[place].pk] for place in asked]))
    progress(1, 1, _("Comparing the samples"))
    rng = np.random.default_rng(project.pk)
    order = ranking.most_instructive_first(units, is_labelled, margin_of, PROPOSED, rng)
    return [rows[row] for row in order]


def _scores(
    project: Project, samples: Sequence[Sample], progress: Progress
) -> tuple[ModelVersion | None, dict[int, list[float]]]:
    """Return the live version and its scores by sample; nothing where it cannot be asked here."""
    version = registry.live_version(project)
    if version is None or not samples:
        return None, {}
    examples = [Example(each.sha256, "", Split.TRAIN, picture_reader(each)) for each in samples]
    try:
        trainer = evaluations.trainer_for(version)
        if trainer.asks_a_service:
            return None, {}
        rows = trainer.predict_proba(registry.model_ref(version), examples, progress)
    except DomainError:  # a model that cannot be loaded keeps nobody from labelling
        return None, {}
    return version, {
        sample.pk: row.tolist()
        for sample, row in zip(samples, rows, strict=True)
        if not np.isnan(row).any()
    }


def _key(project: Project) -> str:
    return f"pool:{project.pk}"

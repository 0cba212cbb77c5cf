"""Contradictions: near duplicates that carry different labels, of which one must be wrong."""

from collections.abc import Iterable
from contextlib import suppress

from django.db.models import F, OuterRef, QuerySet, Subquery
from django.utils.translation import gettext_lazy

from common import jobs
from common.progress import Progress
from common.storages import StorageUnavailable
from common.tasks import periodic, task
from predictions.models import Project
from review import rechecks
from review.models import Decision, Recheck
from training.data import datasets, near_duplicates
from training.data.groups import find_groups
from training.models import NearDuplicate

AT_ONCE = 1_000


# Not in a hurry: a run looks for itself before it begins
@periodic(seconds=300)
def request_searches() -> int:
    """Have the projects searched that have new labelled pictures; return how many."""
    asked = 0
    for project in Project.objects.filter(modality=Project.Modality.IMAGE):
        if datasets.uncompared_samples(project).exists():
            with suppress(jobs.AlreadyEnqueued):
                search_in_background.using(key=f"twins:{project.pk}").enqueue(
                    project_key=project.pk
                )
                asked += 1
    return asked


@task("training.find_near_duplicates", title=gettext_lazy("Look for pictures that are the same"))
def search_in_background(progress: Progress, project_key: int) -> None:
    """Look for near duplicates and contradictions. Safe to repeat: what was found stays found."""
    project = Project.objects.filter(pk=project_key).first()
    if project is None:
        return
    try:
        near_duplicates.find_by_hashes(project, progress)
    except StorageUnavailable as error:
        raise jobs.RetryLater(str(error)) from error
    request_review(project)


def contradictions_of(project: Project) -> QuerySet[NearDuplicate]:
    """Return the pairs whose labels differ, annotated with both names.

    Of pictures only those that look the same: a network takes a part and its scratched neighbour
    for the same as well. None where categories do not exclude each other: there both may be right.
    """
    if project.multilabel:
        return NearDuplicate.objects.none()
    by = NearDuplicate.By.VECTORS if project.is_of_texts else NearDuplicate.By.HASHES
    labelled = with_labels(near_duplicates.pairs_of(project)).filter(by=by)
    return labelled.exclude(first_category=F("second_category"))  # type: ignore[misc]


def with_labels(pairs: QuerySet[NearDuplicate]) -> QuerySet[NearDuplicate]:
    """Return pairs of labelled samples with the keys and the names of their categories."""

    def newest(which: str, value: str) -> Subquery:
        return Subquery(Decision.objects.newest_first(OuterRef(which)).values(value)[:1])

    return pairs.annotate(
        first_category=newest("first", "category"),
        second_category=newest("second", "category"),
        first_name=newest("first", "category__name"),
        second_name=newest("second", "category__name"),
    )


def request_review(project: Project) -> int:
    """Have both samples of each contradiction come to the review queue, once for each pair.

    Not where so many look the same that it means nothing. Returns how many are new there.
    """
    asked = 0
    groups = find_groups(project)
    rows = contradictions_of(project).order_by("pk").values_list("pk", "first_id", "second_id")
    pairs = [row for row in rows if groups.anchors.get(row[1])]
    for start in range(0, len(pairs), AT_ONCE):
        asked += _request(pairs[start : start + AT_ONCE])
    return asked


def _request(pairs: Iterable[tuple[int, int, int]]) -> int:
    about = [(sample, f"pair {pk}") for pk, *both in pairs for sample in both]
    in_force = {
        decision.sample_id: decision
        for decision in Decision.objects.in_force().filter(
            sample__in={sample for sample, _cause in about}
        )
    }
    return rechecks.request_rechecks(
        ((in_force[sample], cause) for sample, cause in about if sample in in_force),
        Recheck.Reason.CONTRADICTION,
    )

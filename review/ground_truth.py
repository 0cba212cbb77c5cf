"""The ground truth: a sample's decision in force, if it names a category. Nothing else counts.

Where categories do not exclude each other, a decision may name several, and all of them are true.
What it does not name is not there.

A user's OK is no ground truth: a model must not confirm itself. Neither is a NOK: it says what a
picture is not.
"""

from collections import defaultdict

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact

from predictions.models import Category, Project, Sample
from review.models import AdditionalCategory, Decision

LABELLING_OUTCOMES = (Decision.Outcome.LABELLED, Decision.Outcome.CONFIRMED)


def labelled_samples(project: Project) -> QuerySet[Sample]:
    """Return a project's samples with a known category, annotated with `true_category_id`."""
    in_force = Decision.objects.in_force().filter(pk=OuterRef("decisions__pk"))
    # One call of filter(): conditions in two could hold for two different decisions of a sample
    return Sample.objects.filter(
        Q(decisions__outcome__in=LABELLING_OUTCOMES) & Exists(in_force), project=project
    ).annotate(true_category_id=F("decisions__category"))


def undecided_samples(project: Project) -> QuerySet[Sample]:
    """Return a project's samples with their picture that no decision in force is about."""
    return Sample.objects.with_picture().filter(is_undecided("pk"), project=project)


def is_undecided(sample: str) -> Exact:
    """Return the condition that no decision in force is about the sample that a row points at.

    Args:
        sample: where the row has its key: "pk" of samples themselves, or the name of a foreign key.
    """
    # No decision counts like one that was undone
    newest = Decision.objects.newest_first(OuterRef(sample)).values("outcome")[:1]
    reopened = Value(Decision.Outcome.REOPENED.value)
    return Exact(Coalesce(Subquery(newest), reopened), reopened)


def additional_categories(project: Project) -> dict[int, list[int]]:
    """Return the additional categories of samples that have any, by the sample's key."""
    found: dict[int, list[int]] = defaultdict(list)
    if project.multilabel:
        rows = (
            _holding(project)
            .order_by("category__name")
            .values_list("decision__sample_id", "category_id")
        )
        for sample, category in rows:
            found[sample].append(category)
    return dict(found)


def samples_showing(category: Category) -> QuerySet[Sample]:
    """Return the `labelled_samples` that show a category, possibly among others."""
    also = _holding(category.project).filter(category=category).values("decision__sample_id")
    is_it = Q(true_category_id=category.pk)
    return labelled_samples(category.project).filter(
        is_it | Q(pk__in=also) if category.project.multilabel else is_it
    )


def _holding(project: Project) -> QuerySet[AdditionalCategory]:
    """Return the additional categories that the decisions in force name."""
    in_force = Decision.objects.in_force().filter(pk=OuterRef("decision"))
    return AdditionalCategory.objects.filter(Exists(in_force), decision__sample__project=project)

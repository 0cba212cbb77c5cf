"""What a new project lacks until a model is live, each with the button that leads there."""

from dataclasses import dataclass, replace

from django.db.models import Count
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from predictions.models import ModelVersion, Project
from review import ground_truth
from training.data.datasets import MIN_CATEGORIES, MIN_PICTURES
from training.models import KnownCategory, TrainingRun


@dataclass(frozen=True)
class CategorySize:
    """A category with its labelled samples, and how many more it needs to be learned."""

    name: str
    count: int
    missing: int


@dataclass(frozen=True)
class ChecklistRow:
    title: str
    why: str
    is_done: bool
    button: str
    address: str
    is_next: bool = False  # the first that is not done


def category_sizes(project: Project) -> list[CategorySize]:
    """Return the categories of a project in their order, two queries for any number."""
    labelled = ground_truth.labelled_samples(project).order_by().values_list("true_category_id")  # type: ignore[misc]
    counts = dict(labelled.annotate(count=Count("pk")))
    known = set(
        KnownCategory.objects.filter(category__project=project).values_list("pk", flat=True)
    )
    return [
        CategorySize(
            category.name,
            count := counts.get(category.pk, 0),
            0 if category.pk in known else max(0, MIN_PICTURES - count),
        )
        for category in project.categories.all()
    ]


def can_be_trained(sizes: list[CategorySize]) -> bool:
    """Say whether there is enough to learn from; the digests decide on which part of it."""
    return sum(not each.missing for each in sizes) >= MIN_CATEGORIES


def checklist(project: Project) -> list[ChecklistRow]:
    """Return what is done and what is missing until a model of the project answers."""
    ready = sum(not each.missing for each in category_sizes(project))
    newest = TrainingRun.objects.filter(project=project).first()
    version: ModelVersion | None = project.model_versions.first()
    rows = [
        ChecklistRow(
            _("Two categories with %(count)d samples each") % {"count": MIN_PICTURES},
            ngettext("%(count)d category has them.", "%(count)d categories have them.", ready)
            % {"count": ready},
            ready >= MIN_CATEGORIES,
            _("Add pictures") if not project.is_of_texts else _("Add texts"),
            reverse("new_project:pictures", args=[project.slug]),
        ),
        ChecklistRow(
            _("A model is trained"),
            _("A run is under way.") if newest and newest.is_active else "",
            version is not None,
            _("Follow it") if newest and newest.is_active else _("Train"),
            reverse("new_project:train", args=[project.slug]),
        ),
        ChecklistRow(
            _("A model is live"),
            _("Version %(number)d waits for your word.") % {"number": version.number}
            if version
            else _("After the first run this happens by itself."),
            False,
            _("See the models"),
            reverse("training:models", args=[project.slug]),
        ),
    ]
    following = next(place for place, row in enumerate(rows) if not row.is_done)
    rows[following] = replace(rows[following], is_next=True)
    return rows

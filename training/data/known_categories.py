"""Categories that a network taught on ImageNet knows before it has seen any picture of theirs."""

from collections.abc import Sequence

from django.db import transaction
from django.utils.translation import gettext as _

from common.errors import Conflict, InvalidInput
from predictions import categories
from predictions.models import Category, Project
from training.backbones import imagenet_classes
from training.models import KnownCategory


def known_classes(project: Project) -> dict[str, list[int]]:
    """Return the project's known categories, by present name, with their ImageNet classes."""
    rows = KnownCategory.objects.filter(category__project=project).order_by("category__name")
    return dict(rows.values_list("category__name", "classes"))


@transaction.atomic
def add_known(project: Project, name: str, classes: Sequence[int]) -> Category:
    """Add a category that is known by these ImageNet classes, or these to one that is there.

    Raises:
        InvalidInput: there are no such classes, or the name is no good.
        Conflict: another category of the project is known by one of them; or its categories do
            not exclude each other, which those of ImageNet do.
    """
    if not classes or not all(0 <= number < imagenet_classes.COUNT for number in classes):
        raise InvalidInput(_("Choose at least one of the known categories."))
    if project.modality != Project.Modality.IMAGE:
        raise Conflict(_("Only categories of pictures are known beforehand."))
    if project.multilabel:
        raise Conflict(_("Known categories exclude each other, and those of this project do not."))
    Project.objects.select_for_update().get(pk=project.pk)
    category, _is_new = categories.add_category(project, name)
    for other in KnownCategory.objects.filter(category__project=project).exclude(category=category):
        if taken := set(other.classes) & set(classes):
            raise Conflict(
                _("“%(class)s” belongs to the category “%(category)s” already.")
                % {
                    "class": imagenet_classes.class_names()[min(taken)][0],
                    "category": other.category.name,
                }
            )
    row, _is_new = KnownCategory.objects.get_or_create(category=category, defaults={"classes": []})
    row.classes = sorted({*row.classes, *classes})
    row.save(update_fields=["classes"])
    return category


def add_each_known(project: Project, classes: Sequence[int]) -> list[Category]:
    """Add a category for each of these classes, by its usual name. Raises as `add_known`."""
    names = imagenet_classes.class_names()
    with transaction.atomic():
        return [
            add_known(project, names[number][0], [number])
            for number in classes
            if 0 <= number < len(names)
        ]


def find_known_classes(names: Sequence[str]) -> list[int]:
    """Return the ImageNet classes of these names.

    Raises:
        InvalidInput: for a name that is none, with those that it is part of.
    """
    found: list[int] = []
    for name in names:
        if not (classes := imagenet_classes.find_classes(name)):
            raise InvalidInput(_unknown(name))
        found += classes
    return found


def _unknown(name: str) -> str:
    similar = imagenet_classes.search_classes(name.replace("_", " "))[:8]
    if not similar:
        return _("“%(name)s” is none of the 1,000 categories of ImageNet.") % {"name": name}
    return _("“%(name)s” is none of the 1,000 categories of ImageNet. Similar: %(similar)s.") % {
        "name": name,
        "similar": ", ".join(imagenet_classes.class_names()[number][0] for number in similar),
    }

"""The keys of categories, for deciding by keyboard: given once, kept, and printed on the buttons.

Hands learn them, so they must not move when a category is added or renamed. A key whose category
was deleted is given again only when no other is left, as somebody's fingers still know it.
"""

from django.db import transaction

from predictions.models import Category, Project

# One to nine, then the letters that mean nothing else on the pages where people decide
KEYS = "123456789bcefgimpqvwxy"


def keyed_categories(project: Project) -> list[Category]:
    """Return a project's categories in their order; until somebody gave them one, in that of their
    keys, then those without one by name.

    Those that were made in bulk get their keys here; nobody has seen them before.
    """
    found = list(project.categories.all())
    given = sum(bool(category.key) for category in found)
    if given < min(len(found), len(KEYS)):
        give_keys(project)
        found = list(project.categories.all())
    # A key stays with its category wherever that is moved
    return sorted(
        found,
        key=lambda each: (each.position, KEYS.index(each.key) if each.key else len(KEYS)),
    )


@transaction.atomic
def give_keys(project: Project) -> None:
    """Give those categories a key that have none, the oldest first, as long as keys are left."""
    # Locked, so that of two who add a category at once each gets a key of its own
    locked = Project.everywhere.select_for_update().get(pk=project.pk)
    used = set(locked.categories.exclude(key="").values_list("key", flat=True))
    fresh = [key for key in KEYS if key not in locked.given_keys and key not in used]
    freed = [key for key in KEYS if key in locked.given_keys and key not in used]
    waiting = locked.categories.filter(key="").order_by("pk")[: len(fresh) + len(freed)]
    for category, key in zip(waiting, [*fresh, *freed], strict=False):
        Category.objects.filter(pk=category.pk).update(key=key)
        used.add(key)
    remembered = "".join(key for key in KEYS if key in used or key in locked.given_keys)
    if remembered != locked.given_keys:
        Project.everywhere.filter(pk=locked.pk).update(given_keys=remembered)

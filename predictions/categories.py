"""The classes of a project: their names, their order, and finding the one that somebody means."""

import unicodedata
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from common import jobs
from common.errors import Conflict, InvalidInput
from common.names import comparison_key, without_invisible
from predictions import category_keys
from predictions.models import Category, Project

MAX_NAME = 100
# Not "Cn": what this Python's Unicode does not know yet may be a letter or an emoji of a newer one
_UNSEEN = {"Cc", "Cs", "Co", "Zl", "Zp"}
_DIRECTION_MARKS = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean_name(name: str, *, field: str = "name") -> str:
    """Return a name as we keep it: one line, single spaces, composed characters (NFC), and none
    that nobody sees.

    Raises:
        InvalidInput: if it is empty, too long, or holds characters that cannot be seen.
    """
    # NFC: "é" typed as one character or as two must be one category. No-break and wide spaces count
    # as spaces.
    name = "".join(
        " " if unicodedata.category(letter) == "Zs" else letter
        for letter in unicodedata.normalize("NFC", name)
    )
    problem = ""
    turns_text = any(letter in _DIRECTION_MARKS for letter in name)
    name = " ".join(word for word in without_invisible(name).split(" ") if word)
    if not comparison_key(name):
        problem = _("Please give a name.")
    elif len(name) > MAX_NAME:
        problem = _("The name is too long: at most %(limit)d characters.") % {"limit": MAX_NAME}
    elif turns_text or any(
        unicodedata.category(letter) in _UNSEEN or _is_noncharacter(letter) for letter in name
    ):
        problem = _("The name holds control characters. Please type it again.")
    if problem:
        raise InvalidInput(problem, fields={field: [problem]})
    return name


def _is_noncharacter(letter: str) -> bool:
    return ord(letter) & 0xFFFE == 0xFFFE or "\ufdd0" <= letter <= "\ufdef"


def find_category(project: Project, name: str) -> Category | None:
    """Return the category that somebody means by this name, as `common.names` compares names."""
    return (
        project.categories.filter(name=name).first()  # of two that were alike before
        or project.categories.filter(name_key=comparison_key(name)).first()
    )


@transaction.atomic
def add_category(project: Project, name: str, description: str = "") -> tuple[Category, bool]:
    """Add a category; return it and whether it is new. Names that read the same are one category.

    Of several who add it at once, one makes it. One that was deleted comes back, without its
    labels.

    Raises:
        InvalidInput: if the name is no good.
        Conflict: if a category of this name is still being deleted.
    """
    name = clean_name(name)
    if existing := find_category(project, name):
        return existing, False
    if removed := find_removed(project, name):
        back = _bring_back(removed, name, description)
        category_keys.give_keys(project)
        back.refresh_from_db(fields=["key"])
        return back, True
    last = project.categories.aggregate(last=Max("position"))["last"]
    category, is_new = Category.objects.get_or_create(
        project=project,
        name_key=comparison_key(name),
        # Behind those that somebody has put in an order; otherwise names are the order
        defaults={
            "name": name,
            "description": description.strip(),
            "position": last + 1 if last else 0,
        },
    )
    if is_new:
        category_keys.give_keys(project)
        category.refresh_from_db(fields=["key"])
    return category, is_new


def add_categories(project: Project, names: Sequence[str], description: str = "") -> list[Category]:
    """Add several categories at once, all or none; return those that are new.

    Raises as `add_category` does.
    """
    with transaction.atomic():
        added = [add_category(project, name, description) for name in names]
    return [category for category, is_new in added if is_new]


def find_removed(project: Project, name: str) -> Category | None:
    """Return the category of this name that was deleted or merged, if its row is still there."""
    rows = Category.everywhere.filter(project=project).exclude(removed_at=None)
    return rows.filter(name_key=comparison_key(name)).first()


def removal_key(category: Category) -> str:
    """Return the key of the job that takes a category off its samples."""
    return f"predictions.remove_category:{category.pk}"


@transaction.atomic
def rename_category(category: Category, name: str) -> Category:
    """Give a category another name; samples, decisions and models keep pointing at it.

    Raises:
        InvalidInput: if the name is no good.
        Conflict: if another category of the project has it, in upper or lower case.
    """
    name = clean_name(name)
    Project.objects.select_for_update().get(pk=category.project_id)
    other = find_category(category.project, name)
    # The same category found by its new name changes its case only, which is allowed.
    if other and other != category:
        sentence = _("There is a category “%(name)s” already. Choose another name.") % {
            "name": other.name
        }
        raise Conflict(sentence, fields={"name": [sentence]})
    if find_removed(category.project, name):
        sentence = _(
            "A category “%(name)s” was deleted, and past labels still have its name. Add it again, "
            "then merge this one into it."
        ) % {"name": name}
        raise Conflict(sentence, fields={"name": [sentence]})
    category.name = name
    category.save(update_fields=["name"])
    return category


@transaction.atomic
def move_category(category: Category, *, by: int) -> None:
    """Move a category up (`by` is negative) or down in the order of its project.

    At the end of the list it stays where it is. Keys and everything else stay as they are.
    """
    # Locked: two who move at once would give two categories one place
    Project.objects.select_for_update().get(pk=category.project_id)
    order = list(Category.objects.filter(project=category.project_id).only("pk", "position"))
    place = next((at for at, each in enumerate(order) if each.pk == category.pk), None)
    if place is None:
        return
    order.insert(max(0, place + by), order.pop(place))
    changed = []
    for position, each in enumerate(order, start=1):
        if each.position != position:
            each.position = position
            changed.append(each)
    Category.objects.bulk_update(changed, ["position"], batch_size=500)


def _bring_back(category: Category, name: str, description: str) -> Category:
    if jobs.is_active(removal_key(category)):
        raise Conflict(
            _("The category “%(name)s” is still being deleted. Try again in a moment.")
            % {"name": category.name}
        )
    category.name, category.description = name, description.strip()
    category.removed_at = category.merged_into = None
    category.save(update_fields=["name", "description", "removed_at", "merged_into"])
    category_keys.give_keys(category.project)
    category.refresh_from_db(fields=["key"])
    return category

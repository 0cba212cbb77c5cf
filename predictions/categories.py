"""The classes of a project: their names, and finding the one that somebody means."""

import unicodedata

from django.db import transaction
from django.utils.translation import gettext as _

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


def add_category(project: Project, name: str, description: str = "") -> tuple[Category, bool]:
    """Add a category; return it and whether it is new. Names that read the same are one category.

    Of several who add it at once, one makes it.
    """
    name = clean_name(name)
    if existing := find_category(project, name):
        return existing, False
    category, is_new = Category.objects.get_or_create(
        project=project,
        name_key=comparison_key(name),
        defaults={"name": name, "description": description.strip()},
    )
    if is_new:
        category_keys.give_keys(project)
        category.refresh_from_db(fields=["key"])
    return category, is_new


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
    category.name = name
    category.save(update_fields=["name"])
    return category

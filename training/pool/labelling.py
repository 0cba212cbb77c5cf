"""Labelling pictures of the pool: several at once, by the reviewers' own decisions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from common.errors import InvalidInput
from common.numbers import natural_number
from common.transactions import durable_transaction
from predictions import categories
from predictions.models import Category, Project, Sample
from review import decisions, leases
from training.pool import proposals


@dataclass(frozen=True)
class Labelled:
    """What was done, as a sentence, and the keys of the decisions that can be undone."""

    sentence: str
    decisions: list[int] = field(default_factory=list)


def decide(
    project: Project, uuids: Sequence[str], ruling: str, *, name: str = "", by: User
) -> Labelled:
    """Do with these samples what a button says: `category:<key>`, `name`, `discard` or `skip`.

    What somebody else was quicker with is left to them, and the sentence says so.

    Raises:
        InvalidInput: nothing was chosen, or there is no such category or button.
    """
    samples = list(Sample.objects.filter(project=project, uuid__in=_parsed(uuids)))
    if not samples:
        raise InvalidInput(_("Choose at least one picture first."))
    kind, _colon, key = ruling.partition(":")
    if kind == "skip":
        for sample in samples:
            leases.skip_sample(sample, by)
        sentence = ngettext(
            "%(count)d picture skipped.", "%(count)d pictures skipped.", len(samples)
        )
        return Labelled(sentence % {"count": len(samples)})
    with durable_transaction():
        category = None if kind == "discard" else _category(project, kind, key, name)
        made = decisions.decide_each(samples, category, by=by)
    proposals.ranking_when_few_are_left(project)
    return Labelled(_sentence(category, len(made), len(samples)), [each.pk for each in made])


def _category(project: Project, kind: str, key: str, name: str) -> Category:
    if kind == "name":
        return categories.add_category(project, name)[0]
    number = natural_number(key) if kind == "category" else None
    category = project.categories.filter(pk=number).first() if number else None
    if category is None:
        raise InvalidInput(_("This category no longer exists. Choose another one."))
    return category


def _sentence(category: Category | None, made: int, wanted: int) -> str:
    if category:
        said = ngettext(
            "%(count)d picture labelled as %(category)s.",
            "%(count)d pictures labelled as %(category)s.",
            made,
        ) % {"count": made, "category": category.name}
    else:
        said = ngettext("%(count)d picture discarded.", "%(count)d pictures discarded.", made) % {
            "count": made
        }
    if made == wanted:
        return said
    left = ngettext(
        "%(count)d was decided by somebody else in the meantime.",
        "%(count)d were decided by somebody else in the meantime.",
        wanted - made,
    )
    return f"{said} {left % {'count': wanted - made}}"


def _parsed(texts: Sequence[str]) -> list[UUID]:
    found = []
    for text in texts:
        try:
            found.append(UUID(text))
        except ValueError:
            continue  # none of ours
    return found

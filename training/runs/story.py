"""What a finished run comes to: its verdict in a sentence or two, and which pictures tell why.

The sentences are made of the facts that the gate judges by, so they hold too for a model that a
person promoted, or that nobody asked the gate about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from predictions.models import Sample
from training.evaluation.significance import ALPHA, PairedOutcomes, wilson_interval
from training.models import DatasetItem, Evaluation
from training.runs import gate, promotion
from training.runs.gate import GateFacts

NAMES_TOLD = 3
MISTAKES_SHOWN = 12


class MistakeKind(StrEnum):
    """Which of two models is wrong on a picture: only the new one, only the other, or both."""

    BROKE = "broke"
    FIXED = "fixed"
    BOTH = "both"


@dataclass(frozen=True)
class RunStory:
    """What the tiles and the verdict of a run tell; `facts` is None with nothing beside it."""

    own: Evaluation
    beside: Evaluation | None
    facts: GateFacts | None

    @property
    def right(self) -> int:
        return sum(self.own.answers.values())

    @property
    def count(self) -> int:
        return len(self.own.answers)

    @property
    def more_right(self) -> int | None:
        """How many more pictures it has right than the other model, of all asked of both."""
        if self.facts is None:
            return None
        all_pairs = [self.facts.shared, *self.facts.new.values()]
        return sum(each.second_right - each.first_right for each in all_pairs)

    @property
    def more_of_old(self) -> int:
        return _more(self.facts.shared) if self.facts else 0

    @property
    def more_f1(self) -> float:
        """How much higher its macro F1 is, in points."""
        return 100 * (self.own.macro_f1 - self.beside.macro_f1) if self.beside else 0.0

    @property
    def is_within_chance(self) -> bool:
        return self.facts is None or self.facts.shared.p_value >= ALPHA

    @property
    def is_worse(self) -> bool:
        return not self.is_within_chance and self.more_of_old < 0

    @property
    def new_between(self) -> tuple[float, float] | None:
        facts = self.facts
        return wilson_interval(facts.new_right, facts.new_count) if facts else None

    @property
    def new_names(self) -> str:
        """The names of the categories that are new, at most so many."""
        return _listed(list(self.facts.new)) if self.facts else ""

    @property
    def headline(self) -> str:
        """The verdict, as a colleague would say it."""
        if self.facts is None:
            return _("%(right)d of %(count)d test samples are right.") % {
                "right": self.right,
                "count": self.count,
            }
        old = _compared(self.facts.shared, within_chance=self.is_within_chance)
        if not self.facts.new:
            return old[:1].upper() + old[1:]
        gains = _listed(
            [
                _("%(name)s (%(right)d of %(count)d)")
                % {"name": name, "right": each.second_right, "count": each.count}
                for name, each in self.facts.new.items()
            ]
        )
        sentence = _("Newly knows %(names)s. Old categories: %(comparison)s")
        return sentence % {"names": gains, "comparison": old}

    @property
    def evidence(self) -> str:
        """What the comparison with the other model rests on, in a sentence; "" without one."""
        if self.facts is None or self.beside is None:
            return ""
        shared = self.facts.shared
        if not shared.first_alone + shared.second_alone:
            return _("Both have the same pictures right.")
        return _(
            "Compared with version %(version)d it broke %(broke)d and fixed %(fixed)d; of two "
            "equally good models, so large a difference is seen in %(percent)d of 100 cases."
        ) % {
            "version": self.beside.model_version.number,
            "broke": shared.first_alone,
            "fixed": shared.second_alone,
            "percent": round(100 * shared.p_value),
        }


@dataclass(frozen=True)
class Mistake:
    """A test sample that at least one model has wrong; an answer is "" where it was not kept."""

    sample: Sample
    truth: str
    said: str
    said_beside: str
    is_right: bool
    is_right_beside: bool


@dataclass(frozen=True)
class Mistakes:
    """Some of the mistakes of one kind, and how many there are of each."""

    kind: MistakeKind
    counts: dict[MistakeKind, int]
    shown: Sequence[Mistake]


def tell_story(own: Evaluation, beside: Evaluation | None) -> RunStory:
    """Compare the model of a run with another one that was measured on the same data set."""
    if beside is None:
        return RunStory(own, None, None)
    new = promotion.newly_known_categories(own.model_version, beside.model_version)
    return RunStory(own, beside, gate.find_facts(promotion.pair_for_gate(own, beside, new)))


def find_mistakes(own: Evaluation, beside: Evaluation | None, wanted: str) -> Mistakes:
    """Return the first mistakes of a kind: two queries, however many there are.

    Without another model all mistakes are of the kind `both`.
    """
    found: dict[MistakeKind, list[int]] = {kind: [] for kind in MistakeKind}
    for key, is_right in own.answers.items():
        was_right = beside.answers.get(key) if beside else False
        if was_right is None or (is_right and (was_right or beside is None)):
            continue
        if is_right:
            found[MistakeKind.FIXED].append(int(key))
        else:
            found[MistakeKind.BROKE if was_right else MistakeKind.BOTH].append(int(key))
    kind = next((each for each in MistakeKind if each == wanted), MistakeKind.BROKE)
    # The first kind that there is, unless one was asked for
    if not wanted and not found[kind]:
        kind = next((each for each in MistakeKind if found[each]), kind)
    keys = sorted(found[kind])[:MISTAKES_SHOWN]
    items = DatasetItem.objects.filter(dataset=own.dataset_id, sample__in=keys)
    shown = [
        Mistake(
            item.sample,
            item.category.name,
            _said(own, item.sample_id),
            _said(beside, item.sample_id) if beside else "",
            own.answers[str(item.sample_id)],
            bool(beside and beside.answers.get(str(item.sample_id))),
        )
        for item in items.select_related("sample__project", "category").order_by("sample")
    ]
    return Mistakes(kind, {each: len(keys) for each, keys in found.items()}, shown)


def _said(evaluation: Evaluation, sample: int) -> str:
    """Return the wrong answer to a sample, where it was kept."""
    cell = evaluation.confusion.get("mistakes", {}).get(str(sample))
    return evaluation.confusion["names"][cell[1]] if cell else ""


def _more(outcomes: PairedOutcomes) -> int:
    return outcomes.second_right - outcomes.first_right


def _compared(outcomes: PairedOutcomes, *, within_chance: bool) -> str:
    difference = _more(outcomes)
    if not difference:
        return _("as many right as before, %(right)d of %(count)d.") % {
            "right": outcomes.second_right,
            "count": outcomes.count,
        }
    if difference < 0 and within_chance:
        sentence = _("%(difference)d fewer right of %(count)d, within chance.")
    elif difference < 0:
        sentence = _("%(difference)d fewer right of %(count)d, more than chance explains.")
    elif within_chance:
        sentence = _("%(difference)d more right of %(count)d, within chance.")
    else:
        sentence = _("%(difference)d more right of %(count)d, more than chance explains.")
    return sentence % {"difference": abs(difference), "count": outcomes.count}


def _listed(names: Sequence[str]) -> str:
    told = ", ".join(names[:NAMES_TOLD])
    rest = len(names) - NAMES_TOLD
    if rest <= 0:
        return told
    sentence = ngettext("%(names)s and %(count)d more", "%(names)s and %(count)d more", rest)
    return sentence % {"names": told, "count": rest}

"""Waiting samples in groups of alike ones, and deciding a whole group: each keeps its own decision.

A group is of one project and has one suggestion, what people say or else the model. Of those that
vectors are known of (see `review.likeness`), the ones that look alike are a group of their own.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from common.errors import Conflict, InvalidInput
from common.names import comparison_key
from common.numbers import natural_number
from common.transactions import durable_transaction
from predictions import categories
from predictions.models import Category, Feedback, Prediction, Project, Sample
from review import decisions, leases, likeness, queue, undo
from review.card import Suggestion
from review.queue import NO_FILTERS, QueueFilters

MOST = 500  # samples that are put into groups, the first of the queue
SHOWN = 100  # of a group at once; the others come when these are decided
FEW = 3  # with fewer alike ones they are no group of their own


@dataclass(frozen=True)
class Member:
    """A sample of a group with what was said of it."""

    sample: Sample
    prediction: Prediction | None
    answer: str  # the model's
    is_named: bool  # somebody said what it is

    @property
    def shown(self) -> str:
        """Return which sample and which prediction a page shows, for its form."""
        return f"{self.sample.uuid}:{self.prediction.pk if self.prediction else ''}"


@dataclass(frozen=True)
class Group:
    project: Project
    suggestion: Suggestion | None
    members: Sequence[Member]

    @property
    def key(self) -> str:
        """Return what a page names the group by; it has another one once its first is decided."""
        ruling = self.suggestion.ruling if self.suggestion else ""
        text = f"{self.project.pk} {ruling} {self.members[0].sample.pk}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def answers(self) -> list[tuple[str, int]]:
        """Return what the model says, with how often, the most frequent first."""
        return Counter(each.answer for each in self.members if each.answer).most_common(4)

    @property
    def named(self) -> int:
        return sum(each.is_named for each in self.members)


@dataclass(frozen=True)
class GroupDecision:
    """What was done with a group, as a sentence, and what undoes it."""

    sentence: str
    decisions: list[int] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)


def group_waiting(
    reviewer: User, filters: QueueFilters = NO_FILTERS, *, closely: bool = True
) -> list[Group]:
    """Return the samples that wait for this reviewer in groups, the largest first.

    Args:
        closely: whether those that look alike are told apart, where vectors are known.
    """
    keys = queue.upcoming_samples(reviewer, filters, limit=MOST, undecided=True)
    found = Sample.objects.select_related("project").defer("capture").in_bulk(keys)
    samples = [found[key] for key in keys if key in found]
    doubts, newest = _said_of(samples)
    names: dict[int, dict[str, Category]] = defaultdict(dict)
    for category in Category.objects.filter(project__in={each.project_id for each in samples}):
        names[category.project_id][category.name_key] = category
    alike: dict[tuple[int, str], list[Member]] = defaultdict(list)
    suggestions: dict[tuple[int, str], Suggestion | None] = {}
    for sample in samples:
        doubt = doubts.get(sample.pk)
        prediction = doubt.prediction if doubt else newest.get(sample.pk)
        suggestion = _suggest(names[sample.project_id], doubt, prediction)
        # Whoever said it: what people and the model call the same is one group
        same = comparison_key(suggestion.name) if suggestion else ""
        top = prediction.top if prediction else None
        is_named = bool(suggestion and not suggestion.by_model)
        member = Member(sample, prediction, top.name if top else "", is_named)
        key = (sample.project_id, same)
        alike[key].append(member)
        known = suggestions.get(key)
        if known is None or known.by_model:
            suggestions[key] = suggestion
    groups = []
    for key, members in alike.items():
        parts = _told_apart(members) if closely else [members]
        groups += [Group(part[0].sample.project, suggestions[key], part) for part in parts]
    return sorted(groups, key=lambda group: -len(group.members))


def lease_group(group: Group, reviewer: User) -> Group:
    """Lease the first of a group to the reviewer, and nothing else; return those they have."""
    shown = group.members[:SHOWN]
    mine = leases.acquire_each([each.sample for each in shown], reviewer)
    kept = {each.pk for each in mine}
    leases.release_all(reviewer, but=kept)
    # What the model says alike lies side by side, so that strangers are seen
    order = {answer: place for place, (answer, _count) in enumerate(group.answers)}
    members = [each for each in shown if each.sample.pk in kept]
    members.sort(key=lambda each: order.get(each.answer, len(order)))
    return Group(group.project, group.suggestion, members)


def decide_group(
    shown: Mapping[Sample, Prediction | None], ruling: str, *, name: str = "", by: User
) -> GroupDecision:
    """Do with these samples what a button says, in one transaction.

    What somebody else was quicker with is left to them, and the sentence says so.

    Args:
        shown: each sample with the prediction that was on the screen.
        ruling: `category:<key>`, `confirm`, `name`, `name:<name>`, `discard` or `skip`.

    Raises:
        InvalidInput: nothing was chosen, the samples are of several projects, or there is no such
            category or button.
    """
    if not shown:
        raise InvalidInput(_("Choose at least one first."))
    if len({sample.project_id for sample in shown}) > 1:
        raise InvalidInput(_("These belong to several projects. Load the page again."))
    kind, _colon, what = ruling.partition(":")
    if kind == "skip":
        for sample in shown:
            leases.skip_sample(sample, by)
        sentence = ngettext("%(count)d skipped.", "%(count)d skipped.", len(shown))
        return GroupDecision(
            sentence % {"count": len(shown)}, skipped=[sample.pk for sample in shown]
        )
    made = []
    with durable_transaction():
        project = next(iter(shown)).project
        category = None if kind == "discard" else _category(project, kind, what or name, shown)
        # In the order of their keys, so that two callers cannot deadlock
        for sample in sorted(shown, key=lambda each: each.pk):
            try:
                made.append(_decide_one(sample, shown[sample], category, kind, by))
            except Conflict:
                continue
    return GroupDecision(_sentence(category, len(made), len(shown)), [each.pk for each in made])


def undo_group(keys: Sequence[int], skipped: Sequence[int], *, by: User) -> int:
    """Undo what was done with a group, as far as nobody has decided since; return for how many."""
    count = undo.undo_each(keys, by=by)
    for sample in Sample.objects.filter(pk__in=list(skipped)):
        count += leases.clear_skips(by, sample)
    return count


def _said_of(samples: Sequence[Sample]) -> tuple[dict[int, Feedback], dict[int, Prediction]]:
    """Return the newest objection to each sample, and its newest prediction, in two queries."""
    keys = [sample.pk for sample in samples]
    told = (
        Feedback.objects.filter(prediction__sample__in=keys)
        .exclude(verdict=Feedback.Verdict.OK)
        .select_related("category", "prediction__top")
        .defer("prediction__scores")
    )
    doubts = {each.prediction.sample_id: each for each in told.order_by("pk")}
    answers = Prediction.objects.filter(sample__in=[key for key in keys if key not in doubts])
    answers = answers.select_related("top").defer("scores").order_by("pk")
    return doubts, {each.sample_id: each for each in answers}


def _suggest(
    names: Mapping[str, Category], doubt: Feedback | None, prediction: Prediction | None
) -> Suggestion | None:
    """Return the same as `card.suggest`, from what is read already."""
    named = doubt.category if doubt else None
    if doubt and doubt.suggestion:
        named = names.get(comparison_key(doubt.suggestion))
        if named is None:
            return Suggestion(doubt.suggestion, f"name:{doubt.suggestion}", is_new=True)
    if named:
        return Suggestion(named.name, f"category:{named.pk}")
    if prediction and prediction.top:
        return Suggestion(prediction.top.name, "confirm", by_model=True)
    return None


def _told_apart(members: Sequence[Member]) -> list[list[Member]]:
    """Return those that look alike as groups of their own, and the rest as one."""
    digests = [each.sample.sha256 for each in members]
    vectors = likeness.known_vectors(members[0].sample.project, digests)
    known = [each for each in members if each.sample.sha256 in vectors]
    rest = [each for each in members if each.sample.sha256 not in vectors]
    if len(known) < FEW:
        return [list(members)]
    clusters = likeness.cluster_alike(np.stack([vectors[each.sample.sha256] for each in known]))
    parts: dict[int, list[Member]] = defaultdict(list)
    for member, cluster in zip(known, clusters.tolist(), strict=True):
        parts[cluster].append(member)
    rest += [each for part in parts.values() if len(part) < FEW for each in part]
    return [*(part for part in parts.values() if len(part) >= FEW), *([rest] if rest else [])]


def _category(
    project: Project, kind: str, what: str, shown: Mapping[Sample, Prediction | None]
) -> Category:
    category = None
    match kind:
        case "name":
            return categories.add_category(project, what)[0]
        case "category":
            number = natural_number(what)
            category = project.categories.filter(pk=number).first() if number else None
        case "confirm":
            tops = {each.top for each in shown.values() if each and each.top}
            category = tops.pop() if len(tops) == 1 else None
    if category is None:
        raise InvalidInput(_("This category no longer exists. Choose another one."))
    return category


def _decide_one(
    sample: Sample, prediction: Prediction | None, category: Category | None, kind: str, by: User
) -> decisions.Decision:
    if category is None:
        return decisions.discard_sample(sample, by=by, prediction=prediction)
    if kind == "confirm" and prediction and prediction.top == category:
        return decisions.confirm_prediction(sample, by=by, prediction=prediction)
    return decisions.label_sample(sample, category, by=by, prediction=prediction)


def _sentence(category: Category | None, made: int, wanted: int) -> str:
    if category:
        said = ngettext(
            "%(count)d decided as %(category)s.", "%(count)d decided as %(category)s.", made
        ) % {"count": made, "category": category.name}
    else:
        said = ngettext("%(count)d discarded.", "%(count)d discarded.", made) % {"count": made}
    if made == wanted:
        return said
    left = ngettext(
        "%(count)d was decided by somebody else in the meantime.",
        "%(count)d were decided by somebody else in the meantime.",
        wanted - made,
    )
    return f"{said} {left % {'count': wanted - made}}"

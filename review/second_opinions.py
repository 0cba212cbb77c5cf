"""Second opinions: how far two reviewers agree who do not see each other's decisions.

A share of the decisions (`Project.second_opinion_percent`) is asked about once more. Which, the
sample's digest draws: always or never the same. Only decisions of people who saw the sample count,
in the review or among many in the gallery, not imported labels. An opinion that differs has the
sample come to a third person.
"""

from django.conf import settings
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Substr
from django.utils.translation import gettext as _

from accounts.models import User
from common.errors import Conflict, InvalidInput
from common.transactions import durable_transaction
from predictions.models import Category, Project, Sample
from review import leases, rechecks
from review.models import Decision, Recheck, SecondOpinion

# Other digits of the digest than those that draw the split and the audit
_DRAWN_FROM, _DIGITS = 9, 4


class NothingToSecond(Conflict):
    """This decision needs no second opinion, or not any more."""

    code = "no_second_opinion"


def decisions_to_second(reviewer: User, project: Project | None = None) -> QuerySet[Decision]:
    """Return the decisions in force that wait for a second opinion by this reviewer.

    Of the newest `REVIEW_RECENT`, so that the query does not grow with the tables.
    """
    # A second opinion names one category
    projects = Project.objects.filter(second_opinion_percent__gt=0, multilabel=False)
    if project:
        projects = projects.filter(pk=project.pk)
    drawn = Q()
    shares = list(projects.values_list("pk", "second_opinion_percent"))
    for key, percent in shares:
        below = f"{percent * 16**_DIGITS // 100:04x}" if percent < 100 else "g"
        drawn |= Q(sample__project=key, digits__lt=Value(below))
    if not shares:
        return Decision.objects.none()
    newest = Decision.objects.order_by("-pk").values_list("pk", flat=True)
    just_too_old = newest[settings.REVIEW_RECENT :].first() or 0
    return (
        Decision.objects.in_force()
        .annotate(digits=Substr("sample__sha256", _DRAWN_FROM, _DIGITS))
        .filter(drawn, pk__gt=just_too_old, second_opinion=None)
        .filter(Q(prediction__isnull=False) | Q(batch__isnull=False), reviewer__isnull=False)
        .exclude(outcome=Decision.Outcome.REOPENED)
        .exclude(reviewer=reviewer)
        .exclude(sample__location=Sample.Location.NOWHERE)
    )


@durable_transaction()
def give_opinion(
    sample: Sample,
    decision_key: int,
    *,
    category: Category | None,
    by: User,
    reason: str = "",
) -> SecondOpinion:
    """Keep what a second reviewer says of a sample, None being of no use for training.

    Sent again, because the response was lost, it returns the row of the first time.

    Raises:
        InvalidInput: if the category is of another project.
        NothingToSecond: if the decision was replaced, or somebody else was quicker.
    """
    if category and category.project_id != sample.project_id:
        raise InvalidInput(
            _("This category belongs to another project. Choose one of this sample's project.")
        )
    Sample.objects.select_for_update().get(pk=sample.pk)
    given = SecondOpinion.objects.filter(decision=decision_key, reviewer=by).first()
    if given:
        leases.release(sample, by)
        return given
    decision = decisions_to_second(by).filter(pk=decision_key, sample=sample).first()
    if decision is None:
        raise NothingToSecond(_("This sample needs no second opinion any more. Take the next one."))
    outcome = Decision.Outcome.LABELLED if category else Decision.Outcome.DISCARDED
    opinion = SecondOpinion.objects.create(
        decision=decision,
        outcome=outcome,
        category=category,
        reviewer=by,
        reason=" ".join(reason.split())[:300],
    )
    if decision.category_id != (category.pk if category else None):
        rechecks.request_rechecks(
            [(decision, f"opinion {opinion.pk}")], Recheck.Reason.DISAGREEMENT
        )
    leases.release(sample, by)
    return opinion


def opinions_of(project: Project) -> QuerySet[SecondOpinion]:
    """Return the second opinions of a project with the decisions that they are about."""
    return SecondOpinion.objects.filter(decision__sample__project=project).select_related(
        "decision__category", "decision__reviewer", "category", "reviewer"
    )


def disagreements(project: Project) -> QuerySet[SecondOpinion]:
    """Return the second opinions that differ from the decisions, the newest first."""
    decided = F("decision__category")
    # Greater or less rather than "not equal", which is neither true nor false of NULL
    differs = (
        Q(category__gt=decided)
        | Q(category__lt=decided)
        | Q(category=None, decision__category__isnull=False)
        | Q(category__isnull=False, decision__category=None)
    )
    return opinions_of(project).filter(differs).select_related("decision__sample").order_by("-pk")

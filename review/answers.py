"""Answers to users: what a reviewer decided about a sample that they had said NOK to."""

from notifications.models import Kind
from notifications.notifying import notify, withdraw
from predictions.models import Feedback, Sample
from review.models import Decision

MOST_USERS = 20  # of one sample
TEXTS = {
    Decision.Outcome.LABELLED: "nok_labelled",
    Decision.Outcome.CONFIRMED: "nok_confirmed",
    Decision.Outcome.DISCARDED: "nok_discarded",
}


def tell_of_decision(decision: Decision) -> None:
    """Have the users who said NOK to an answer about the sample told what was decided.

    Call it in the transaction of the decision. The reviewer knows already.
    """
    noks = Feedback.objects.filter(
        prediction__sample=decision.sample_id, verdict=Feedback.Verdict.NOK
    ).exclude(user=decision.reviewer_id)
    newest = noks.select_related("prediction__project", "user").order_by("-pk")[:MOST_USERS]
    for feedback in newest:
        notify(
            [feedback.user],
            Kind.NOK_ANSWERED,
            TEXTS[Decision.Outcome(decision.outcome)],
            key=_key(decision),
            url=feedback.prediction.get_absolute_url(),
            project=feedback.prediction.project,
            params={"category": decision.category.name if decision.category else ""},
        )


def take_back(sample: Sample) -> None:
    """Take back what nobody has read yet of the decision in force, which is about to be undone."""
    if newest := Decision.objects.newest_first(sample).first():
        withdraw(_key(newest))


def _key(decision: Decision) -> str:
    return f"decision:{decision.pk}"

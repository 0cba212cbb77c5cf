"""OK, NOK or not sure: what users say to a prediction, and what follows from it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from common.errors import Conflict, DomainError, InvalidInput, NotFound
from common.transactions import durable_transaction
from predictions import categories, holds, outbox, prediction_metrics, retention
from predictions.models import Category, Feedback, Prediction, Sample

Verdict = Feedback.Verdict
AT_ONCE = 20  # verdicts in one transaction


@durable_transaction()
def give_feedback(
    prediction: Prediction, verdict: str, *, by: User, category: str = ""
) -> Feedback:
    """Write down a user's verdict on their own prediction; the same one again changes nothing.

    An OK deletes the picture, by the retention setting. A NOK keeps it: the verdict and the order
    to bring the picture to safety are one transaction. A picture that somebody is unsure about
    stays in the uploads until it was reviewed.

    Args:
        category: what it really is, if the user knows; a name that no category has yet is kept as a
            suggestion.

    Raises:
        InvalidInput: for an unknown verdict, or a category that contradicts it.
        Conflict: if a reviewer has decided since, or the picture was deleted.
        NotFound: if it is another user's prediction.
    """
    if prediction.user_id != by.pk:
        raise NotFound(_("There is no such prediction."))
    known, suggestion = _checked(prediction, verdict, category)
    # Locked: retention and a reviewer's decision about the same picture wait, or are seen here.
    sample = Sample.objects.select_for_update().get(pk=prediction.sample_id)
    before = get_feedback(prediction, by)
    if before and (before.verdict, before.category, before.suggestion) == (
        verdict,
        known,
        suggestion,
    ):
        return before
    _refuse_if_too_late(sample, verdict, before)
    feedback, _created = Feedback.objects.update_or_create(
        prediction=prediction,
        user=by,
        defaults={
            "verdict": verdict,
            "category": known,
            "suggestion": suggestion,
            "created_at": timezone.now(),
        },
    )
    prediction_metrics.count_verdict(prediction, verdict)
    if verdict == Verdict.NOK:
        outbox.store_misclassified.enqueue(feedback_key=feedback.pk)
    elif verdict == Verdict.OK:
        retention.delete_picture_after_ok(prediction)
    return feedback


@dataclass
class Verdicts:
    """What became of the verdicts on several predictions."""

    ok: int = 0
    nok: int = 0
    refused: list[tuple[Prediction, str]] = field(default_factory=list)  # and why


def give_verdicts(
    predictions: Sequence[Prediction], wrong: Collection[int], *, by: User, category: str = ""
) -> Verdicts:
    """Write down NOK for those predictions whose keys are in `wrong`, OK for the others.

    One that is refused, because a reviewer was quicker or its picture is gone, holds nobody else
    up. Predictions that have a verdict of this user already are left as they are.

    Args:
        category: what the wrong ones really are, if the user knows.

    Raises:
        InvalidInput: the category is no name for one.
    """
    if category.strip():
        category = categories.clean_name(category, field="category")
    verdicts = Verdicts()
    answered = set(
        Feedback.objects.filter(user=by, prediction__in=predictions).values_list(
            "prediction", flat=True
        )
    )
    # In the order in which everybody locks samples: others judge the same pictures in batches of
    # their own, and of two who waited for each other the database would refuse one
    left = sorted(
        (each for each in predictions if each.pk not in answered), key=lambda each: each.sample_id
    )
    for start in range(0, len(left), AT_ONCE):
        with durable_transaction():
            for prediction in left[start : start + AT_ONCE]:
                is_wrong = prediction.pk in wrong
                verdict = Verdict.NOK if is_wrong else Verdict.OK
                try:
                    give_feedback(prediction, verdict, by=by, category=category if is_wrong else "")
                except DomainError as error:
                    verdicts.refused.append((prediction, str(error)))
                else:
                    verdicts.nok += is_wrong
                    verdicts.ok += not is_wrong
    return verdicts


def get_feedback(prediction: Prediction, user: User) -> Feedback | None:
    """Return what this user said to a prediction, or None."""
    return (
        Feedback.objects.filter(prediction=prediction, user=user).select_related("category").first()
    )


def can_change_feedback(prediction: Prediction, given: Feedback | None) -> bool:
    """Say whether the user may still give or change a verdict that keeps the picture."""
    return prediction.sample.has_picture and not (given and _is_settled(prediction.sample))


def _checked(prediction: Prediction, verdict: str, name: str) -> tuple[Category | None, str]:
    """Return the category that is meant, or the name to keep as a suggestion."""
    if verdict not in Verdict.values:
        sentence = _("Please answer OK, NOK or UNSURE.")
        raise InvalidInput(sentence, fields={"verdict": [sentence]})
    if not name.strip():
        return None, ""
    name = categories.clean_name(name, field="category")
    sentence = ""
    if verdict == Verdict.OK:
        sentence = _(
            "An OK says that the model is right: give no other category with it, or answer NOK."
        )
    known = categories.find_category(prediction.project, name)
    # Where the model abstained it predicted nothing, so its best guess may be the answer.
    if (
        verdict == Verdict.NOK
        and known
        and known.pk == prediction.top_id
        and not prediction.abstained
    ):
        sentence = _(
            "That is what the model predicted. Answer OK if it is right, or name another category."
        )
    if sentence:
        raise InvalidInput(sentence, fields={"category": [sentence]})
    return known, "" if known else name


def _refuse_if_too_late(sample: Sample, verdict: str, before: Feedback | None) -> None:
    if before and _is_settled(sample):
        raise Conflict(
            _(
                "A reviewer has decided about this picture already, so your answer can no longer "
                "change."
            )
        )
    # An OK needs no picture: nobody will look at it again.
    if not sample.has_picture and (before or verdict != Verdict.OK):
        raise Conflict(
            _(
                "This picture was already deleted, so it can no longer be reviewed. Please "
                "upload it again."
            ),
            code="picture_gone",
        )


def _is_settled(sample: Sample) -> bool:
    return Sample.objects.filter(holds.feedback_locked(), pk=sample.pk).exists()

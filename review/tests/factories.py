"""What the tests of this room are made of, beside `predictions.tests.factories`."""

from itertools import count
from typing import Any

from accounts.models import User
from predictions.models import Category, Feedback, Prediction, Project, Sample
from predictions.tests.factories import make_feedback, make_prediction, make_sample, make_user
from review import queue
from review.models import Decision

_numbers = count(1)


def make_reviewer(**fields: Any) -> User:
    return make_user("reviewer", **fields)


def make_answer(
    project: Project, *, drawn: bool = False, location: str = "uploads", **fields: Any
) -> Prediction:
    """Make a confident answer about a new picture, which the audit drew or not."""
    sha256 = f"{'0' if drawn else 'f'}{next(_numbers):063x}"
    sample = make_sample(project, sha256=sha256, location=location)
    return make_prediction(sample=sample, project=project, **fields)


def make_nok(project: Project, verdict: str = Feedback.Verdict.NOK, **fields: Any) -> Sample:
    """Make a sample that a user asked to look at; `fields` are the feedback's."""
    return make_feedback(make_answer(project), verdict, **fields).prediction.sample


def make_decision(
    sample: Sample, category: Category | None = None, *, by: User | None = None, **fields: Any
) -> Decision:
    """Make a decision as a row: a label, or `outcome`."""
    outcome = Decision.Outcome.LABELLED if category else Decision.Outcome.DISCARDED
    return Decision.objects.create(
        sample=sample,
        category=category,
        reviewer=by or make_reviewer(),
        **{"outcome": outcome} | fields,
    )


def lease_next(reviewer: User, filters: queue.QueueFilters = queue.NO_FILTERS) -> Sample | None:
    """Lease the first sample that waits to the reviewer, as a page of one card would."""
    return next(iter(queue.lease_several(reviewer, filters, limit=1)), None)

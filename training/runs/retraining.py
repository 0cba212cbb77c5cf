"""Runs that begin by themselves, where a project's policy asks for them."""

import logging
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from common.errors import DomainError
from common.tasks import periodic
from predictions.models import Project
from review import ground_truth
from review.models import Decision
from training.models import DriftEpisode, TrainingPolicy, TrainingRun
from training.runs import submission
from training.runs.submission import RunOptions

logger = logging.getLogger(__name__)

Trigger = TrainingRun.Trigger
DRIFT_PAUSE = timedelta(days=7)  # a run that did not help is not begun again every minute


@periodic(seconds=60)
def retrain_where_due() -> int:
    """Start a run, with the gate, in each project whose policy asks for one now; return how many.

    What was tried counts, however it ended: a run that fails is not begun again every minute.
    """
    started = 0
    wishes = Q(retrain_after_labels__gt=0) | Q(retrain_every_days__gt=0) | Q(retrain_on_drift=True)
    policies = TrainingPolicy.objects.filter(
        wishes, project__removed_at=None, project__archived_at=None
    )
    for policy in policies.select_related("project"):
        trigger = due_trigger(policy)
        if trigger is None:
            continue
        options = RunOptions(promote=True, trigger=trigger)
        try:
            run = submission.submit_run(policy.project, options, by=None)
        except DomainError as error:  # too little to learn from yet, or another worker was quicker
            logger.info("%s is not trained by itself now: %s", policy.project.slug, error)
        else:
            slug = policy.project.slug
            logger.info("Run %s of %s begins by itself (%s)", run.number, slug, trigger)
            started += 1
    return started


def due_trigger(policy: TrainingPolicy) -> Trigger | None:
    """Return why a project should be trained now, or None."""
    labels = count_new_labels(policy.project)
    if not labels:
        return None
    if policy.retrain_after_labels and labels >= policy.retrain_after_labels:
        return Trigger.LABELS
    newest = policy.project.runs.first()
    period = timedelta(days=policy.retrain_every_days)
    if period and (newest is None or newest.created_at <= timezone.now() - period):
        return Trigger.SCHEDULE
    rested = newest is None or newest.created_at <= timezone.now() - DRIFT_PAUSE
    if policy.retrain_on_drift and rested and DriftEpisode.objects.present(policy.project).exists():
        return Trigger.DRIFT
    return None


def count_new_labels(project: Project) -> int:
    """Return how many labels reviewers have decided since the last run was asked for."""
    labels = Decision.objects.in_force().filter(
        sample__project=project, outcome__in=ground_truth.LABELLING_OUTCOMES
    )
    newest = project.runs.first()
    return labels.filter(created_at__gt=newest.created_at).count() if newest else labels.count()

"""Drift reports and episodes: measured every hour, and told once for each episode.

An episode begins where a measurement reaches its threshold, and ends where it is clearly below
again, or where another version has gone live: then there is a new reference.
"""

import logging
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from accounts import roles
from common.tasks import periodic
from notifications.models import Kind
from notifications.notifying import notify, people_who_may
from predictions import registry
from predictions.models import Project, Promotion
from training.drift.measurement import EVERYTHING, Condition, Measurement, Shift, measure
from training.models import DriftEpisode, DriftReport

logger = logging.getLogger(__name__)

State = DriftReport.State
FIGURES = ("index", "threshold", "before", "now")
MOST_HISTORY = 7 * 24  # measurements: a week


@periodic(seconds=3600)
def measure_projects() -> int:
    """Measure drift in every project with a live version; return how many episodes are open."""
    return sum(len(measure_project(each)) for each in Project.objects.filter(archived_at=None))


def measure_project(project: Project) -> list[DriftEpisode]:
    """Measure drift in a project, tell whoever trains it what has begun, and return what is open.

    Without a live version there is nothing to measure.
    """
    promotion = registry.newest_promotion(project)
    if promotion is None:
        return []
    measured = measure(promotion)
    with transaction.atomic():
        # Of two workers that measure at once one waits here, and finds what the other has told
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        now = timezone.now()
        _end_of_others(project, promotion, now)
        _store_reports(project, promotion, measured, now)
    return list(DriftEpisode.objects.present(project))


def _end_of_others(project: Project, promotion: Promotion, now: datetime) -> None:
    """End the episodes of versions that are not live any more."""
    others = DriftEpisode.objects.filter(project=project, ended_at=None)
    others.exclude(promotion=promotion).update(ended_at=now)


def _store_reports(
    project: Project, promotion: Promotion, measured: list[Measurement], now: datetime
) -> None:
    before = {
        (each.measure, each.condition, each.value): each
        for each in DriftReport.objects.filter(project=project, promotion=promotion)
    }
    kept = []
    # Everything first: a drift that is one of the whole is not told of each condition as well
    for each in sorted(measured, key=lambda one: one.condition != EVERYTHING):
        place = (each.measure, *each.condition)
        episode = _open_episodes(promotion, each.measure, each.condition).first()
        shift = each.shift
        is_drifting = bool(shift and shift.is_drift(was_drifting=episode is not None))
        if shift and is_drifting and episode is None:
            _begin(project, promotion, each, shift, now)
        elif shift and episode and not is_drifting:
            DriftEpisode.objects.filter(pk=episode.pk, ended_at=None).update(ended_at=now)
        kept.append(_store(project, promotion, each, is_drifting, before.get(place), now).pk)
    # A condition under which hardly anything is sent any more
    gone = DriftReport.objects.filter(project=project).exclude(pk__in=kept)
    for report in gone:
        _open_episodes(promotion, report.measure, (report.condition, report.value)).update(
            ended_at=now
        )
    gone.delete()


def _store(
    project: Project,
    promotion: Promotion,
    each: Measurement,
    is_drifting: bool,
    before: DriftReport | None,
    now: datetime,
) -> DriftReport:
    state = State.DRIFTING if is_drifting else State.STEADY
    if each.shift is None:
        state = State.TOO_FEW
    history = [round(each.shift.index, 4)] if each.shift else []
    condition, value = each.condition
    return DriftReport.objects.update_or_create(
        project=project,
        measure=each.measure,
        condition=condition,
        value=value,
        defaults={
            "promotion": promotion,
            "state": state,
            "since": before.since if before and before.state == state else now,
            **{name: getattr(each.shift, name, None) for name in FIGURES},
            "reference_count": each.reference_count,
            "recent_count": each.recent_count,
            "shares": dict(each.shift.shares) if each.shift else {},
            "history": ([*before.history] if before else [])[1 - MOST_HISTORY :] + history,
            "measured_at": now,
        },
    )[0]


def _begin(
    project: Project, promotion: Promotion, each: Measurement, shift: Shift, now: datetime
) -> None:
    """Begin an episode, and tell of it unless the same drift of the whole project is known."""
    condition, value = each.condition
    is_known = _open_episodes(promotion, each.measure, EVERYTHING).exists()
    episode = DriftEpisode.objects.create(
        project=project,
        promotion=promotion,
        measure=each.measure,
        condition=condition,
        value=value,
        index=shift.index,
        threshold=shift.threshold,
        before=shift.before,
        now=shift.now,
        began_at=now,
        alarmed_at=None if is_known else now,
    )
    logger.warning("%s has begun to drift", episode)
    if not is_known:
        notify(
            people_who_may(roles.TRAIN, project),
            Kind.DRIFT,
            f"drift_{each.measure}{'_where' if condition else ''}",
            key=f"drift:{episode.pk}",
            url=reverse("overview", args=[project.slug]) + "#drift",
            project=project,
            params={
                "version": promotion.model_version.number,
                "condition": condition,
                "value": value,
                "before_share": shift.before,
                "now_share": shift.now,
            },
        )


def _open_episodes(
    promotion: Promotion, measure: str, condition: Condition
) -> QuerySet[DriftEpisode]:
    name, value = condition
    return DriftEpisode.objects.filter(
        promotion=promotion, measure=measure, condition=name, value=value, ended_at=None
    )

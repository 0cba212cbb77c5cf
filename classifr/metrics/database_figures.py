"""What the database says when Prometheus asks: a handful of queries along indexes, each bounded."""

import logging
from collections.abc import Iterable, Iterator
from itertools import islice

from django.db import DatabaseError
from django.db.models import Count, Exists, Min, OuterRef
from django.utils import timezone
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from common.metrics import MOST_VALUES
from common.models import Job
from predictions import daily_figures
from predictions.models import DailyFigures, Feedback, Promotion
from review import queue
from review.queue import VERDICTS, Reason
from training.models import DriftEpisode, DriftReport, TrainingRun

logger = logging.getLogger(__name__)

MOST_WAITING = 1000  # of a reason; more are not counted
JOB_STATES = (Job.Status.WAITING, Job.Status.RUNNING, Job.Status.FAILED)


class DatabaseFigures:
    """A collector for prometheus_client."""

    def describe(self) -> Iterable[Metric]:
        return []  # or it would ask the database to learn the names

    def collect(self) -> Iterator[Metric]:
        is_up = True
        for figures in (_review_queue, _jobs, _training_runs, _today, _drift):
            try:
                yield from list(figures())
            except DatabaseError as error:
                logger.warning("Metrics of the database are missing: %s", error)
                is_up = False
        yield GaugeMetricFamily(
            "classifr_database_up", "1 if the database answered these questions.", value=is_up
        )


def _review_queue() -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        "classifr_review_waiting",
        f"Samples that wait for review, by reason; {MOST_WAITING} stands for as many or more.",
        labels=["reason"],
    )
    oldest = GaugeMetricFamily(
        "classifr_review_oldest_seconds",
        "Since when the oldest verdict waits for review.",
        labels=["reason"],
    )
    for reason in Reason:
        samples = list(islice(queue.waiting_samples(reason), MOST_WAITING))
        waiting.add_metric([reason.value], len(samples))
        if verdict := VERDICTS.get(reason):
            given = Feedback.objects.filter(prediction__sample__in=samples[:1], verdict=verdict)
            oldest.add_metric([reason.value], _age(given.aggregate(at=Min("created_at"))["at"]))
    yield waiting
    yield oldest


def _jobs() -> Iterator[Metric]:
    jobs = GaugeMetricFamily(
        "classifr_jobs", "Jobs of the background, by kind and state.", labels=["kind", "state"]
    )
    found = Job.objects.filter(status__in=JOB_STATES).values_list("kind", "status")
    for kind, status, count in found.annotate(Count("pk")).order_by("kind", "status")[:MOST_VALUES]:
        jobs.add_metric([kind, status], count)
    yield jobs
    overdue = GaugeMetricFamily(
        "classifr_oldest_job_seconds",
        "For how long the oldest job that is due has waited for a worker.",
        labels=["queue"],
    )
    due = Job.objects.filter(status=Job.Status.WAITING, due_at__lte=timezone.now())
    oldest = due.values_list("queue").annotate(Min("due_at")).order_by("queue")
    for name, since in oldest[:MOST_VALUES]:
        overdue.add_metric([name], _age(since))
    yield overdue


def _training_runs() -> Iterator[Metric]:
    runs = GaugeMetricFamily("classifr_training_runs", "Training runs by state.", labels=["state"])
    counts = dict(TrainingRun.objects.values_list("status").annotate(Count("pk")).order_by())
    for status in TrainingRun.Status:
        runs.add_metric([status.value], counts.get(status.value, 0))
    yield runs


def _today() -> Iterator[Metric]:
    """Yield what `daily_figures` has counted of today, some minutes ago at most."""
    rows = DailyFigures.objects.filter(day=timezone.localdate()).select_related("project")
    families = {
        name: GaugeMetricFamily(f"classifr_today_{name}", f"Of today: {name}.", labels=["project"])
        for name in daily_figures.COUNTS
    }
    for row in rows.order_by("project")[:MOST_VALUES]:
        for name, family in families.items():
            family.add_metric([row.project.slug], getattr(row, name))
    yield from families.values()


def _drift() -> Iterator[Metric]:
    """Yield what `training.drift` has measured, an hour ago at most."""
    index = GaugeMetricFamily(
        "classifr_drift_index",
        "How far answers are from those when the model went live; 1 is the limit.",
        labels=["project", "measure"],
    )
    measured = DriftReport.objects.filter(
        condition="", index__isnull=False, project__removed_at=None, project__archived_at=None
    ).select_related("project")
    for report in measured.order_by("project", "measure")[:MOST_VALUES]:
        ratio = (report.index or 0.0) / (report.threshold or 1.0)
        index.add_metric([report.project.slug, report.measure], ratio)
    yield index
    drifting = GaugeMetricFamily(
        "classifr_drift",
        "1 for each drift that maintainers were told of and that is not over.",
        labels=["project", "measure", "condition"],
    )
    newer = Promotion.objects.filter(project=OuterRef("project"), pk__gt=OuterRef("promotion"))
    episodes = DriftEpisode.objects.filter(
        ~Exists(newer),
        ended_at=None,
        alarmed_at__isnull=False,
        project__removed_at=None,
        project__archived_at=None,
    )
    for episode in episodes.select_related("project").order_by("pk")[:MOST_VALUES]:
        where = f"{episode.condition}:{episode.value}" if episode.condition else ""
        drifting.add_metric([episode.project.slug, episode.measure, where], 1)
    yield drifting


def _age(since: object) -> float:
    return (timezone.now() - since).total_seconds() if since else 0.0  # type: ignore[operator]

"""Drift on the overview: each measure of the project, and the conditions under which it drifts."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import reverse

from classifr.overview import charts
from classifr.overview.charts import PairChart, Spark
from predictions.models import Promotion
from training.models import DriftReport

MOST_CONDITIONS = 6
State = DriftReport.State


@dataclass(frozen=True)
class DriftRow:
    """One measurement, its course over the last week, and its two distributions."""

    report: DriftReport
    address: str
    spark: Spark | None
    pair: PairChart | None

    @property
    def css_class(self) -> str:
        return {State.DRIFTING: "s-nok", State.STEADY: "s-ok"}.get(State(self.report.state), "")

    @property
    def icon(self) -> str:
        icons = {State.DRIFTING: "warn", State.STEADY: "check", State.TOO_FEW: "clock"}
        return icons[State(self.report.state)]


def drift_rows(promotion: Promotion) -> list[DriftRow]:
    """Return the measurements of the live version: of everything, then where something drifts."""
    reports = DriftReport.objects.filter(project=promotion.project_id, promotion=promotion)
    whole = list(reports.filter(condition=""))
    somewhere = reports.filter(state=State.DRIFTING).exclude(condition="")
    return [_row(promotion, each) for each in (*whole, *somewhere[:MOST_CONDITIONS])]


def _row(promotion: Promotion, report: DriftReport) -> DriftRow:
    filters = {"since": promotion.created_at.date().isoformat()}
    if report.condition:
        filters["condition"] = f"{report.condition}:{report.value}"
    samples = reverse("samples", args=[promotion.project.slug])
    return DriftRow(
        report,
        f"{samples}?{urlencode(filters)}",
        charts.spark(report.history),
        charts.pair_chart(report.shares.get("before", []), report.shares.get("now", [])),
    )

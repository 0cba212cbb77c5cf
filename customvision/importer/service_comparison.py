"""A model's metrics beside those that Custom Vision reported for its newest iteration.

They are not of the same pictures: the service measures on splits of its training images, we on our
test split.
"""

from dataclasses import dataclass
from typing import Any

from customvision.importer.service import THRESHOLD
from customvision.models import ImportedIteration
from training.evaluation import thresholds
from training.models import Evaluation

MEASURES = ("precision", "recall", "average_precision")


@dataclass(frozen=True)
class MetricPair:
    """One measure: ours and theirs, each in [0, 1] or None where it is undefined."""

    own: float | None
    theirs: float | None

    @property
    def bars(self) -> tuple[int, int]:
        """Return both in whole percent, as lengths."""
        return round(100 * (self.own or 0)), round(100 * (self.theirs or 0))


@dataclass(frozen=True)
class ServiceComparison:
    iteration: ImportedIteration
    threshold: float
    rows: list[tuple[str, list[MetricPair]]]  # by category: precision, recall, average precision
    overall: list[MetricPair]


def compare_with_service(own: Evaluation) -> ServiceComparison | None:
    """Return both models' metrics by category, or None if no measured iteration was imported."""
    iteration = latest_measured_iteration(own.model_version.project_id)
    if iteration is None:
        return None
    threshold = iteration.performance.get("threshold", THRESHOLD)
    # Their tags go by the present names of the categories that they became
    tags = iteration.imported.tags.select_related("category")
    names_now = {str(tag.remote_id): tag.category.name for tag in tags}
    theirs = {
        names_now.get(id_, one["name"]): one
        for id_, one in iteration.performance.get("per_tag", {}).items()
    }
    ours = thresholds.metrics_at(own, threshold)
    names = [*ours.per_category, *(name for name in theirs if name not in ours.per_category)]
    return ServiceComparison(
        iteration,
        threshold,
        [(name, _pairs(ours.per_category.get(name), theirs.get(name))) for name in names],
        _pairs(ours.overall, iteration.performance.get("overall")),
    )


def latest_measured_iteration(project: int) -> ImportedIteration | None:
    rows = ImportedIteration.objects.filter(imported__project=project, trained_at__isnull=False)
    return rows.exclude(performance={}).order_by("-trained_at", "-pk").first()


def _pairs(
    own: thresholds.PrecisionRecall | None, theirs: dict[str, Any] | None
) -> list[MetricPair]:
    return [MetricPair(getattr(own, name, None), (theirs or {}).get(name)) for name in MEASURES]

"""What Prometheus learns of predictions and verdicts: counted where they are written."""

from prometheus_client import Counter

from common.metrics import BoundedLabel
from predictions.models import Prediction

_predictions = Counter(
    "classifr_predictions",
    "Predictions by project and version, and whether the model abstained.",
    ["project", "version", "answer"],
)
_verdicts = Counter("classifr_verdicts", "Verdicts of users.", ["project", "verdict"])
_project, _version = BoundedLabel(), BoundedLabel()

ANSWERED, ABSTAINED, UNFAMILIAR = "answered", "abstained", "unfamiliar"


def count_prediction(prediction: Prediction) -> None:
    answer = ANSWERED
    if prediction.is_unfamiliar:
        answer = UNFAMILIAR
    elif prediction.abstained:
        answer = ABSTAINED
    version = _version(str(prediction.model_version.number))
    _predictions.labels(_project(prediction.project.slug), version, answer).inc()


def count_verdict(prediction: Prediction, verdict: str) -> None:
    # Not by version, which would cost a query for each: the dashboards ask the database
    _verdicts.labels(_project(prediction.project.slug), verdict).inc()

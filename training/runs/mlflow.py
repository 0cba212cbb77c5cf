"""Logs runs that have ended to an MLflow server, by its REST API 2.0; a job of its own per run.

Nothing depends on the server: while it is away the job is tried again, and the run has ended
already. Logged twice, a run is there once: it is found by its tag, and its metrics carry the time
when it ended.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common import jobs
from common.errors import DomainError
from common.tasks import task
from training.evaluation import evaluations
from training.models import Evaluation, TrainingRun

if TYPE_CHECKING:
    import requests

TAG = "classifr.run"
SECONDS = 20
AT_ONCE = 900  # a batch holds 1,000 metrics at most, 100 parameters and 100 tags
LONGEST_VALUE = 5000
NO_NAME = re.compile(r"[^\w/.\- ]")  # what the names of metrics and parameters must not have
STATUSES = {
    TrainingRun.Status.SUCCEEDED: "FINISHED",
    TrainingRun.Status.FAILED: "FAILED",
    TrainingRun.Status.CANCELLED: "KILLED",
}


class MlflowRefused(DomainError):
    """The MLflow server refuses what it is sent; trying again would not help."""

    code = "mlflow_refused"
    status = 502


def announce(run: TrainingRun) -> None:
    """Have a run that ends logged, if there is an MLflow server; call it in that transaction."""
    if settings.MLFLOW_TRACKING_URI:
        log_run.enqueue(run_key=run.pk)


@task(
    "training.log_to_mlflow",
    max_attempts=30,  # some hours
    stored_as={"run_key": "run"},
    title=gettext_lazy("Log a run to MLflow"),
)
def log_run(run_key: int) -> None:
    """Log a run: parameters, tags, metrics and curves; keeps the address of its page.

    Raises:
        RetryLater: the server does not answer now.
        MlflowRefused: it answers that this cannot be logged.
    """
    runs = TrainingRun.objects.select_related("project", "dataset", "model_version", "repeats")
    run = runs.filter(pk=run_key, finished_at__isnull=False).first()
    if run is None or not settings.MLFLOW_TRACKING_URI:
        return
    server = MlflowServer(settings.MLFLOW_TRACKING_URI)
    experiment = server.experiment_id(f"classifr/{run.project.slug}")
    name = f"{run.project.uuid}/{run.pk}"
    found = server.find_run(experiment, name) or server.create_run(
        experiment, name, str(run.number), _milliseconds(run.started_at or run.created_at)
    )
    server.log(found, parameters=_parameters(run), tags=_tags(run), metrics=_metrics(run))
    server.end_run(found, STATUSES[TrainingRun.Status(run.status)], _milliseconds(run.finished_at))
    address = f"{server.address}/#/experiments/{experiment}/runs/{found}"
    TrainingRun.objects.filter(pk=run.pk).update(tracking_url=address)


class MlflowServer:
    """The few operations that logging needs; raises RetryLater and MlflowRefused."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def experiment_id(self, name: str) -> str:
        """Return the id of an experiment, which is made if there is none."""
        missing = "RESOURCE_DOES_NOT_EXIST"
        found = self._call("GET", "experiments/get-by-name", {"experiment_name": name}, missing)
        if found is None:
            taken = "RESOURCE_ALREADY_EXISTS"
            made = self._call("POST", "experiments/create", {"name": name}, taken)
            if made is not None:
                return made["experiment_id"]
            # Another job was quicker
            found = self._call("GET", "experiments/get-by-name", {"experiment_name": name}) or {}
        return found["experiment"]["experiment_id"]

    def find_run(self, experiment: str, name: str) -> str:
        """Return the id of the run with this tag, or ""."""
        wanted = {
            "experiment_ids": [experiment],
            "filter": f"tags.`{TAG}` = '{name}'",
            "max_results": 1,
        }
        found = (self._call("POST", "runs/search", wanted) or {}).get("runs", [])
        return found[0]["info"]["run_id"] if found else ""

    def create_run(self, experiment: str, name: str, title: str, started: int) -> str:
        made = self._call(
            "POST",
            "runs/create",
            {
                "experiment_id": experiment,
                "start_time": started,
                "run_name": title,
                "tags": [{"key": TAG, "value": name}],
            },
        )
        return (made or {})["run"]["info"]["run_id"]

    def log(
        self,
        run: str,
        *,
        parameters: Mapping[str, str],
        tags: Mapping[str, str],
        metrics: Sequence[Mapping[str, Any]],
    ) -> None:
        facts = {"params": _pairs(parameters), "tags": _pairs(tags)}
        self._call("POST", "runs/log-batch", {"run_id": run, **facts})
        for start in range(0, len(metrics), AT_ONCE):
            part = list(metrics[start : start + AT_ONCE])
            self._call("POST", "runs/log-batch", {"run_id": run, "metrics": part})

    def end_run(self, run: str, status: str, ended: int) -> None:
        self._call("POST", "runs/update", {"run_id": run, "status": status, "end_time": ended})

    def _call(
        self, method: str, operation: str, content: Mapping[str, Any], expected: str = ""
    ) -> dict[str, Any] | None:
        """Return the answer of an operation; None where it refuses with the `expected` code."""
        import requests  # here, as web processes do without

        try:
            answer = requests.request(
                method,
                f"{self.address}/api/2.0/mlflow/{operation}",
                params=content if method == "GET" else None,
                json=content if method == "POST" else None,
                headers=_authorization(),
                auth=_credentials(),
                timeout=SECONDS,
                # A redirect would send the token to wherever it leads
                allow_redirects=False,
            )
            facts = answer.json() if answer.content else {}
        except (requests.RequestException, ValueError) as error:
            raise jobs.RetryLater(f"MLflow does not answer: {type(error).__name__}") from error
        if expected and isinstance(facts, dict) and facts.get("error_code") == expected:
            return None
        _raise_for_status(answer, facts)
        return facts


def _raise_for_status(answer: "requests.Response", facts: Any) -> None:
    if answer.status_code == 200 and isinstance(facts, dict):
        return
    if answer.status_code >= 500 or answer.status_code == 429:
        raise jobs.RetryLater(f"MLflow answers with {answer.status_code}.")
    message = facts.get("message", "") if isinstance(facts, dict) else ""
    sentence = _("The MLflow server refuses this run (%(status)d): %(message)s")
    raise MlflowRefused(sentence % {"status": answer.status_code, "message": str(message)[:500]})


def _authorization() -> dict[str, str]:
    token = settings.MLFLOW_TRACKING_TOKEN
    return {"Authorization": f"Bearer {token}"} if token else {}


def _credentials() -> tuple[str, str] | None:
    if not settings.MLFLOW_TRACKING_USERNAME or settings.MLFLOW_TRACKING_TOKEN:
        return None
    return settings.MLFLOW_TRACKING_USERNAME, settings.MLFLOW_TRACKING_PASSWORD


def _parameters(run: TrainingRun) -> dict[str, str]:
    facts = {
        "trainer": run.trainer,
        **run.parameters,
        "seed": run.seed,
        "data_set": run.dataset.number,
        "data_set_digest": run.dataset.digest,
    }
    return {_name(name): str(value)[:LONGEST_VALUE] for name, value in facts.items()}


def _tags(run: TrainingRun) -> dict[str, str]:
    version = run.model_version
    facts = {
        "classifr.project": run.project.slug,
        "classifr.model_version": version.number if version else "",
        "classifr.model_digest": version.digest if version else "",
        "classifr.release": run.code.get("version"),
        "classifr.sources": run.code.get("digest"),
        "classifr.repeats": run.repeats.number if run.repeats else "",
        "classifr.sweep": run.sweep_id,
        "classifr.outcome": run.outcome,
        "classifr.error": run.error,
        "mlflow.source.git.commit": run.code.get("commit"),
    }
    return {name: str(value)[:LONGEST_VALUE] for name, value in facts.items() if value}


def _metrics(run: TrainingRun) -> list[dict[str, Any]]:
    timestamp = _milliseconds(run.finished_at)
    figures = [(name, value, 0) for name, value in _figures(run)]
    figures += [
        (name, value, step)
        for name, values in run.curves.items()
        for step, value in enumerate(values)
    ]
    return [
        {"key": _name(name), "value": float(value), "timestamp": timestamp, "step": step}
        for name, value, step in figures
        if value is not None
    ]


def _figures(run: TrainingRun) -> Iterator[tuple[str, float | None]]:
    evaluation = Evaluation.objects.filter(
        model_version=run.model_version_id, dataset=run.dataset_id
    ).first()
    if run.model_version_id is None or evaluation is None:
        return
    _by_category, between = evaluations.metric_intervals(evaluation)
    yield "test/accuracy", evaluation.accuracy
    if between:
        yield "test/accuracy_low", between[0]
        yield "test/accuracy_high", between[1]
    yield "test/macro_f1", evaluation.macro_f1
    yield "test/calibration_error", evaluation.calibration.get("error")
    for name, figures in evaluation.per_category.items():
        for metric in ("precision", "recall", "average_precision"):
            yield f"test/{metric}/{name}", figures.get(metric)


def _pairs(facts: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": name, "value": value} for name, value in facts.items()]


def _name(name: str) -> str:
    return NO_NAME.sub("_", name)[:250]


def _milliseconds(moment: Any) -> int:
    return int(moment.timestamp() * 1000)

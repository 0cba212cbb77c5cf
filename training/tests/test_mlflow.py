"""Runs on an MLflow server: a small one that keeps what it is told, and a real one."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.urls import reverse

from common import jobs
from common.models import Job
from predictions.tests.factories import make_user
from training import (
    checks,
    tasks,  # noqa: F401 (defines the task)
)
from training.models import TrainingRun
from training.runs import execution, mlflow
from training.tests.factories import make_finished_run, make_run

pytestmark = pytest.mark.django_db


class FakeMlflow:
    """Keeps experiments and runs as MLflow does; `refuse` has it answer with another status."""

    def __init__(self) -> None:
        self.experiments: list[str] = []
        self.runs: dict[str, dict] = {}
        self.headers: list[dict[str, str]] = []
        self.refuse: tuple[int, dict] | None = None
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply({name: value[0] for name, value in self.query().items()})

            def do_POST(self) -> None:
                self.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def query(self) -> dict[str, list[str]]:
                return parse_qs(urlsplit(self.path).query)

            def reply(self, content: dict) -> None:
                operation = urlsplit(self.path).path.removeprefix("/api/2.0/mlflow/")
                fake.headers.append(dict(self.headers))
                status, answer = fake.refuse or fake.answer(operation, content)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, operation: str, content: dict) -> tuple[int, dict]:
        match operation:
            case "experiments/get-by-name":
                name = content["experiment_name"]
                if name not in self.experiments:
                    return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}
                return 200, {"experiment": {"experiment_id": str(self.experiments.index(name))}}
            case "experiments/create":
                self.experiments.append(content["name"])
                return 200, {"experiment_id": str(len(self.experiments) - 1)}
            case "runs/search":
                found = [run for run in self.runs.values() if run["name"] in content["filter"]]
                return 200, {"runs": [{"info": {"run_id": run["id"]}} for run in found]}
            case "runs/create":
                key = f"run{len(self.runs)}"
                name = content["tags"][0]["value"]
                self.runs[key] = {"id": key, "name": name, "params": {}, "tags": {}, "metrics": {}}
                return 200, {"run": {"info": {"run_id": key}}}
            case "runs/log-batch":
                run = self.runs[content["run_id"]]
                for kind in ("params", "tags"):
                    run[kind] |= {each["key"]: each["value"] for each in content.get(kind, [])}
                for each in content.get("metrics", []):
                    run["metrics"][each["key"], each["step"]] = each["value"]
                return 200, {}
            case "runs/update":
                self.runs[content["run_id"]]["status"] = content["status"]
                return 200, {}
        raise AssertionError(operation)


@pytest.fixture
def server(settings) -> Iterator[FakeMlflow]:
    fake = FakeMlflow()
    settings.MLFLOW_TRACKING_URI = fake.url
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


def work_off() -> None:
    jobs.run_due_jobs("default")


def test_a_run_that_ends_is_logged(server):
    run = make_finished_run(seed=7)
    work_off()
    (logged,) = server.runs.values()
    assert server.experiments == [f"classifr/{run.project.slug}"]
    assert logged["status"] == "FINISHED"
    assert logged["params"]["seed"] == "7"
    assert logged["params"]["data_set_digest"] == run.dataset.digest
    assert logged["tags"]["classifr.model_version"] == "1"
    assert logged["tags"]["classifr.sources"] == run.code["digest"]
    assert logged["metrics"]["test/accuracy", 0] == 1.0
    assert logged["metrics"]["test/recall/dark", 0] == 1.0
    assert logged["metrics"]["loss", 4] == pytest.approx(0.2)
    run.refresh_from_db()
    assert run.tracking_url == f"{server.url}/#/experiments/0/runs/run0"


def test_its_page_leads_there(client, server):
    run = make_finished_run()
    work_off()
    client.force_login(make_user("maintainer"))
    page = client.get(reverse("training:run", args=[run.pk])).content.decode()
    assert f'href="{server.url}/#/experiments/0/runs/run0"' in page


def test_a_run_that_failed_is_logged_as_such(server):
    run = make_run()
    execution.cancel_run(run)
    work_off()
    (logged,) = server.runs.values()
    assert (logged["status"], logged["metrics"]) == ("KILLED", {})


def test_done_twice_a_run_is_there_once(server):
    run = make_finished_run()
    mlflow.log_run(run.pk)
    before = json.dumps(server.runs, default=str, skipkeys=True)
    mlflow.log_run(run.pk)
    assert json.dumps(server.runs, default=str, skipkeys=True) == before


def test_without_a_server_nothing_is_asked_for():
    make_finished_run()
    assert not Job.objects.filter(kind="training.log_to_mlflow").exists()


@pytest.mark.parametrize("status", [500, 503, 429])
def test_while_the_server_is_in_trouble_it_is_tried_again(server, status):
    server.refuse = status, {}
    run = make_finished_run()
    work_off()
    job = Job.objects.get(kind="training.log_to_mlflow")
    assert (job.status, job.attempts) == (Job.Status.WAITING, 1)
    run.refresh_from_db()
    assert (run.status, run.tracking_url) == (TrainingRun.Status.SUCCEEDED, "")


def test_a_server_that_is_away_or_no_mlflow_is_tried_again(server, settings):
    server.server.shutdown()
    server.server.server_close()
    run = make_finished_run()
    with pytest.raises(jobs.RetryLater, match="MLflow does not answer"):
        mlflow.log_run(run.pk)


def test_a_refusal_is_told_and_not_tried_again(server):
    server.refuse = 403, {"error_code": "PERMISSION_DENIED", "message": "not you"}
    make_finished_run()
    work_off()
    job = Job.objects.get(kind="training.log_to_mlflow")
    assert job.status == Job.Status.FAILED
    assert job.error == "The MLflow server refuses this run (403): not you"


@pytest.mark.parametrize(
    ("wanted", "header"),
    [
        ({"MLFLOW_TRACKING_TOKEN": "t0ken"}, "Bearer t0ken"),
        (
            {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "secret"},
            "Basic bWU6c2VjcmV0",
        ),
    ],
)
def test_it_says_who_it_is(server, settings, wanted, header):
    for name, value in wanted.items():
        setattr(settings, name, value)
    mlflow.log_run(make_finished_run().pk)
    assert {each["Authorization"] for each in server.headers} == {header}


def test_names_of_categories_become_names_of_metrics():
    assert mlflow._name("test/recall/crème (brûlée) №1") == "test/recall/crème _brûlée_ _1"


def test_an_address_that_is_none_is_told(settings):
    settings.MLFLOW_TRACKING_URI = "databricks"
    (found,) = checks.check_mlflow(None)
    assert found.id == "training.E006"
    settings.MLFLOW_TRACKING_URI = "https://mlflow.example.com"
    assert checks.check_mlflow(None) == []


@pytest.mark.outer
def test_a_real_server_takes_it_and_shows_it_once(settings, mlflow_url):
    settings.MLFLOW_TRACKING_URI = mlflow_url
    run = make_finished_run(seed=7)
    # More metrics than fit into a batch
    TrainingRun.objects.filter(pk=run.pk).update(curves={"loss": [1 / n for n in range(1, 2001)]})
    mlflow.log_run(run.pk)
    mlflow.log_run(run.pk)
    run.refresh_from_db()
    experiment, key = run.tracking_url.rsplit("/", 3)[1::2]
    api = f"{mlflow_url}/api/2.0/mlflow"
    found = requests.post(
        f"{api}/runs/search", json={"experiment_ids": [experiment]}, timeout=30
    ).json()["runs"]
    assert [each["info"]["run_id"] for each in found] == [key]
    assert found[0]["info"]["status"] == "FINISHED"
    data = {
        kind: {each["key"]: each["value"] for each in found[0]["data"][kind]}
        for kind in ("params", "metrics")
    }
    assert data["params"]["seed"] == "7"
    assert data["metrics"]["test/accuracy"] == 1.0
    history = requests.get(
        f"{api}/metrics/get-history",
        params={"run_id": key, "metric_key": "loss", "max_results": 5000},
        timeout=30,
    ).json()["metrics"]
    assert sorted(int(each["step"]) for each in history) == list(range(2000))

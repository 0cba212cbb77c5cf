"""The dashboards and alerts of `deploy/`: every query runs, against real servers."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import psycopg2
import pytest
import requests
from django.conf import settings

from classifr.tests.faults.installation import Installation
from classifr.tests.process_tree import manage
from scripts.services import Missing, Prometheus, wait_until

DEPLOY = Path(settings.BASE_DIR) / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
METRIC = re.compile(r"\bclassifr_\w+")
TOKEN = "a long one"
MACROS = {  # what Grafana makes of them
    r"\$__timeFilter\(([^)]+)\)": r"\1 BETWEEN now() - interval '30 days' AND now()",
    r"\$project": "'dishes'",
}
# Nothing of it happens in a quiet minute
MAY_BE_EMPTY = {
    "classifr_storage_errors_total",
    "classifr_oldest_job_seconds",
    "classifr_jobs",
    "classifr_model_loads_total",
    "classifr_drift",
    "classifr_drift_index",
}
ABSTAINS = """
from predictions.models import Project
Project.objects.update(abstain_below=1.0)
"""
CORRECTED = """
from predictions.models import Prediction
from review import decisions
from accounts.models import User
from predictions import daily_figures
user = User.objects.get(username="cook")
for prediction in Prediction.objects.all():
    other = prediction.project.categories.exclude(pk=prediction.top_id).first()
    decisions.label_sample(prediction.sample, other, by=user)
daily_figures.count_days()
"""


def queries(key):
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                if key in target:
                    yield panel["title"], target[key]


def alerts():
    text = (DEPLOY / "prometheus" / "alerts.yml").read_text()
    return set(METRIC.findall(text))


def test_dashboards_name_the_sources_that_are_provisioned():
    provisioned = set(
        re.findall(
            r"uid: (\S+)",
            (DEPLOY / "grafana/provisioning/datasources/classifr.yml").read_text(),
        )
    )
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
        for panel in dashboard["panels"]:
            assert panel["datasource"]["uid"] in provisioned


@pytest.mark.outer
def test_promtool_is_content_with_the_alerts():
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    for command in ("check rules alerts.yml", "test rules alerts_test.yml"):
        done = subprocess.run(
            ["promtool", *command.split()],
            cwd=DEPLOY / "prometheus",
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory, postgres_server):
    folder = tmp_path_factory.mktemp("site")
    variables = {"DATABASE_URL": postgres_server.fresh_database(), "METRICS_TOKEN": TOKEN}
    installation = Installation(folder, WEB_CONCURRENCY="2", **variables)
    try:
        installation.prepare()
        installation.start_web()
        for number in range(12):
            prediction = installation.predict().json()["id"]
            assert installation.say_nok(prediction, "pizza" if number % 2 else "").ok
        manage(folder, "shell", "-v0", "-c", ABSTAINS, **variables)
        assert installation.predict().json()["abstained"]
        yield installation
    finally:
        installation.close()


def scraped(site):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = requests.get(f"{site.url}/metrics", headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.text


def value(text, line):
    return float(re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)[1])


@pytest.mark.outer
def test_whichever_process_answers_it_knows_of_all(site):
    line = 'classifr_predictions_total{answer="answered",project="dishes",version="1"}'
    for _time in range(6):
        assert value(scraped(site), line) == 12
    assert 'classifr_verdicts_total{project="dishes",verdict="NOK"} 12.0' in scraped(site)


@pytest.mark.outer
def test_every_alert_names_metrics_that_there_are(site):
    text = scraped(site)
    for name in alerts() - MAY_BE_EMPTY:
        assert name.removesuffix("_bucket").removesuffix("_total") in text, name


@pytest.mark.outer
def test_every_query_of_prometheus_has_an_answer(site, tmp_path):
    requests.get(f"{site.url}/no/such/page", timeout=30)
    try:
        server = Prometheus(DEPLOY / "prometheus", target=site.url, token=TOKEN)
    except Missing as missing:
        pytest.skip(str(missing))
    with server:

        def ask(expression):
            answer = requests.get(
                f"{server.url}/api/v1/query", params={"query": expression}, timeout=30
            )
            assert answer.status_code == 200, f"{expression}: {answer.text}"
            return answer.json()["data"]["result"]

        wait_until(
            lambda: bool(ask("count_over_time(classifr_database_up[1m]) > 3")), "some scrapes"
        )
        for title, expression in queries("expr"):
            found = ask(expression)
            assert found or MAY_BE_EMPTY & set(METRIC.findall(expression)), title


@pytest.mark.outer
def test_every_query_of_postgresql_has_an_answer(site):
    manage(site.folder, "shell", "-v0", "-c", CORRECTED, **site.variables)
    connection = psycopg2.connect(site.variables["DATABASE_URL"])
    asked = 0
    for title, query in queries("rawSql"):
        for macro, sql in MACROS.items():
            query = re.sub(macro, sql, query)
        with connection.cursor() as cursor:
            cursor.execute(query)
            assert cursor.fetchall(), title
        asked += 1
    connection.close()
    assert asked >= 8

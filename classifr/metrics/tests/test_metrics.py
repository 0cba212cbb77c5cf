import pytest
from django.utils import timezone
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from classifr.metrics.database_figures import DatabaseFigures
from common.metrics import OTHER, BoundedLabel
from common.models import Job
from predictions import daily_figures, feedback, prediction_metrics
from predictions.tests.factories import (
    make_feedback,
    make_live_model,
    make_prediction,
    make_project,
)
from review.queue import Reason
from training.models import DriftEpisode

pytestmark = pytest.mark.django_db

TOKEN = {"Authorization": "Bearer a long one"}


@pytest.fixture
def switched_on(settings):
    settings.METRICS, settings.METRICS_TOKEN = True, "a long one"


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_there_is_no_such_page_unless_it_is_asked_for(client):
    assert client.get("/metrics", headers=TOKEN).status_code == 404


@pytest.mark.parametrize("said", ["", "Bearer another", "Token a long one", "Bearer ä"])
def test_without_the_token_it_is_forbidden(client, switched_on, said):
    assert client.get("/metrics", headers={"Authorization": said}).status_code == 403


def test_an_empty_token_opens_nothing(client, settings):
    settings.METRICS, settings.METRICS_TOKEN, settings.METRICS_NETWORKS = True, "", ["10.0.0.0/8"]
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 403


@pytest.mark.parametrize(("address", "status"), [("10.1.2.3", 200), ("192.0.2.1", 403)])
def test_a_network_may_be_let_in(client, settings, address, status):
    settings.METRICS, settings.METRICS_NETWORKS = True, ["10.0.0.0/8", "::1/128"]
    assert client.get("/metrics", REMOTE_ADDR=address).status_code == status


def test_requests_are_counted_by_the_name_of_the_view(client, switched_on):
    client.get("/healthz")
    client.get("/no/such/page")
    found = samples(client.get("/metrics", headers=TOKEN).content.decode())
    assert found["classifr_requests_total", "200", "GET", "healthz"] >= 1
    assert found["classifr_requests_total", "404", "GET", "none"] >= 1
    assert found["classifr_request_seconds_count", "healthz"] >= 1
    assert not any("no/such/page" in str(key) for key in found)


def test_a_method_that_a_client_makes_up_is_no_label(client, switched_on):
    client.generic("BREW", "/healthz")
    found = samples(client.get("/metrics", headers=TOKEN).content.decode())
    assert not any("BREW" in key for key in found)


def test_predictions_and_verdicts_are_counted():
    project = make_project(slug="counted")
    make_live_model(project)
    prediction = make_prediction(project=project)
    number = str(prediction.model_version.number)
    prediction_metrics.count_prediction(prediction)
    feedback.give_feedback(prediction, "OK", by=prediction.user)
    project_of = {"project": "counted"}
    answered = project_of | {"version": number, "answer": "answered"}
    assert REGISTRY.get_sample_value("classifr_predictions_total", answered) == 1
    ok = project_of | {"verdict": "OK"}
    assert REGISTRY.get_sample_value("classifr_verdicts_total", ok) == 1


def test_a_label_takes_so_many_values_and_no_more():
    label = BoundedLabel(most=2)
    assert [label(value) for value in "abcab"] == ["a", "b", OTHER, "a", "b"]


def test_the_database_tells_what_waits():
    project = make_project(slug="dishes")
    prediction = make_prediction(project=project)
    make_feedback(prediction, verdict="NOK")
    Job.objects.create(kind="a.kind", queue="training")
    Job.objects.create(kind="a.kind", status=Job.Status.FAILED)
    daily_figures.count_days()
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in DatabaseFigures().collect()
        for sample in family.samples
    }
    assert found["classifr_review_waiting", Reason.NOK.value] == 1
    assert found["classifr_review_oldest_seconds", "nok"] > 0
    assert found["classifr_jobs", "a.kind", "waiting"] == 1
    assert found["classifr_jobs", "a.kind", "failed"] == 1
    assert found["classifr_oldest_job_seconds", "training"] > 0
    assert found["classifr_training_runs", "failed"] == 0
    assert found["classifr_today_nok", "dishes"] == 1
    assert found["classifr_database_up",] == 1


def test_more_rows_cost_no_more_queries(django_assert_max_num_queries):
    for _number in range(20):
        make_feedback(make_prediction(project=make_project()), verdict="NOK")
    with django_assert_max_num_queries(30):
        list(DatabaseFigures().collect())


@pytest.fixture
def drift():
    version = make_live_model(make_project(slug="dishes"))
    where = {"measure": "scores", "condition": "line", "value": "3"}
    return DriftEpisode.objects.create(
        project=version.project,
        promotion=version.promotions.get(),
        **where,
        index=0.5,
        threshold=0.25,
        before=0.9,
        now=0.7,
        alarmed_at=timezone.now(),
    )


def drifts():
    families = {family.name: family for family in DatabaseFigures().collect()}
    return [sample.labels for sample in families["classifr_drift"].samples]


def test_a_drift_is_told_until_it_is_over(drift):
    assert drifts() == [{"project": "dishes", "measure": "scores", "condition": "line:3"}]
    drift.ended_at = timezone.now()
    drift.save()
    assert drifts() == []


def test_a_drift_of_an_earlier_version_is_not(drift):
    make_live_model(drift.project)
    assert drifts() == []

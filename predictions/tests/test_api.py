import pytest
from knox.models import get_token_model
from rest_framework.test import APIClient

from common import json_bodies
from predictions.models import Feedback, Prediction, Sample, SampleGroup
from predictions.serializers import AnswerSerializer
from predictions.tests.factories import (
    make_category,
    make_feedback,
    make_live_model,
    make_picture_bytes,
    make_prediction,
    make_project,
    make_upload,
    make_user,
)

pytestmark = pytest.mark.django_db


def client_of(user) -> APIClient:
    _instance, token = get_token_model().objects.create(user=user)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


@pytest.fixture
def alice():
    return make_user()


@pytest.fixture
def api(alice):
    return client_of(alice)


@pytest.fixture
def project():
    return make_live_model(make_project(slug="dishes")).project


PREDICT = "/api/v1/projects/dishes/predict"


def test_projects_are_listed_with_their_model_and_categories(
    api, project, django_assert_max_num_queries
):
    make_project("Empty")
    with django_assert_max_num_queries(8):
        answer = api.get("/api/v1/projects/").json()
    assert [(one["slug"], one["model_version"]) for one in answer][0] == ("dishes", 1)
    assert answer[0]["categories"] == ["gnocchi", "risotto", "tiramisu"]
    assert answer[1]["model_version"] is None


@pytest.mark.parametrize("where", ["form", "address"])
def test_a_picture_may_come_with_what_it_is_of(api, project, where):
    if where == "form":
        answer = api.post(PREDICT, {"file": make_upload(), "group": " board  7 "})
    else:
        answer = api.post(
            f"{PREDICT}?group=board+7", make_picture_bytes(), content_type="image/jpeg"
        )
    assert answer.status_code == 200
    assert SampleGroup.objects.get().name == "board 7"


def test_a_group_without_a_proper_name_is_refused_before_the_picture_is_kept(api, project):
    answer = api.post(PREDICT, {"file": make_upload(), "group": "x" * 101})
    assert (answer.status_code, answer.json()["fields"].keys()) == (400, {"group"})
    assert not Sample.objects.exists()


def test_the_same_picture_may_be_of_two_groups(api, project):
    data = make_picture_bytes()
    for group in ("lot 1", "lot 2", "lot 2", ""):
        api.post(PREDICT, {"file": make_upload(data), "group": group})
    assert list(SampleGroup.objects.values_list("name", flat=True)) == ["lot 1", "lot 2"]
    assert Sample.objects.count() == 1


def test_a_prediction_asks_the_database_little(api, project, django_assert_max_num_queries):
    # Notes that the token is used, makes the meter
    api.post(PREDICT, make_picture_bytes(), content_type="image/jpeg")
    # Token and user, permissions, live model and project, meter, known sample, categories; and
    # between the two ends of a transaction the sample and the prediction
    with django_assert_max_num_queries(10):
        assert api.post(PREDICT, make_picture_bytes(), content_type="image/jpeg").status_code == 200
    assert Prediction.objects.count() == 2


def test_the_answer_is_what_the_description_of_the_api_says(api, project):
    answer = api.post(PREDICT, {"file": make_upload()}).json()
    assert answer == AnswerSerializer(Prediction.objects.get()).data


def test_a_form_with_a_picture_is_answered(api, alice, project):
    response = api.post(PREDICT, {"file": make_upload()})
    prediction = Prediction.objects.get()
    assert response.status_code == 200
    answer = response.json()
    assert answer == {
        "id": str(prediction.uuid),
        "project": "dishes",
        "model_version": 1,
        "predictions": [
            {"category": name, "probability": value} for name, value in prediction.ranked
        ],
        "latency_ms": round(prediction.latency_ms, 2),
        "abstained": False,
        "stood_in_for": None,
        "familiarity": None,
        "is_unfamiliar": False,
    }
    assert prediction.user == alice
    assert prediction.shown_name == "dinner.jpg"


@pytest.mark.parametrize(
    "content_type", ["image/jpeg", "image/x-unheard-of", "application/octet-stream"]
)
def test_a_picture_as_the_whole_body_is_answered(api, project, content_type):
    response = api.post(PREDICT, make_picture_bytes(), content_type=content_type)
    assert response.status_code == 200
    assert Prediction.objects.count() == 1


def test_a_picture_as_long_as_may_be_is_answered(api, project, settings):
    data = make_picture_bytes()
    padded = data + bytes(settings.UPLOAD_MAX_BYTES - len(data))
    assert len(padded) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    assert api.post(PREDICT, padded, content_type="image/jpeg").status_code == 200
    assert api.post(PREDICT, {"file": make_upload(padded + b"x")}).status_code == 400
    refused = api.post(PREDICT, padded + b"x", content_type="image/jpeg")
    assert refused.status_code == 400
    assert "up to 20 MB" in refused.json()["message"]


@pytest.mark.parametrize("content_type", ["image/jpeg", "multipart/form-data"])
def test_what_is_no_picture_is_refused_with_a_sentence(api, project, content_type):
    data = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    if content_type == "image/jpeg":
        response = api.post(PREDICT, data, content_type=content_type)
    else:
        response = api.post(PREDICT, {"file": make_upload(data)})
    assert response.status_code == 400
    answer = response.json()
    assert set(answer) == {"code", "message", "fields"}
    assert answer["code"] == "invalid_picture"
    assert "JPEG" in answer["message"]
    assert not Sample.objects.exists()


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "image/jpeg", 400),
        (b"no boundary at all", "multipart/form-data", 400),
        (b"--x\r\nContent-Dis", "multipart/form-data; boundary=x", 400),
        (b"{}", "application/json", 415),
        (b"x", "text/html", 415),
        (b"x", "", 415),
    ],
)
def test_a_malformed_request_is_never_a_server_error(api, project, body, content_type, status):
    response = api.generic("POST", PREDICT, body, content_type=content_type)
    assert response.status_code == status
    assert set(response.json()) == {"code", "message", "fields"}


def test_a_form_without_a_file_says_what_to_send(api, project):
    response = api.post(PREDICT, {"picture": make_upload()})
    assert response.status_code == 400
    assert response.json()["fields"]["file"]


def test_a_project_without_a_model_says_so(api):
    make_project(slug="dishes")
    response = api.post(PREDICT, {"file": make_upload()})
    assert response.status_code == 409
    assert response.json()["code"] == "no_live_model"
    assert not Sample.objects.exists()


def test_beyond_the_quota_the_api_says_when_again(api, project, settings):
    settings.UPLOAD_QUOTA = 1
    assert api.post(PREDICT, {"file": make_upload()}).status_code == 200
    refused = api.post(PREDICT, {"file": make_upload()})
    assert refused.status_code == 429
    assert refused.json()["code"] == "quota_reached"
    assert int(refused["Retry-After"]) > 0


def test_own_predictions_are_listed_page_by_page(api, alice):
    version = make_live_model()
    mine = [str(make_prediction(alice, model_version=version).uuid) for _ in range(30)][::-1]
    make_prediction(model_version=version)
    first = api.get("/api/v1/predictions/", {"project": version.project.slug}).json()
    second = api.get(first["next"]).json()
    assert [one["id"] for one in first["results"] + second["results"]] == mine
    assert second["next"] is None


def test_a_listed_prediction_shows_its_verdict(api, alice):
    given = make_feedback(make_prediction(alice), "NOK", suggestion="pizza")
    make_feedback(given.prediction, "OK", user=make_user("reviewer"))
    (listed,) = api.get("/api/v1/predictions/").json()["results"]
    assert (listed["feedback"]["verdict"], listed["feedback"]["category"]) == ("NOK", "pizza")
    assert api.get(f"/api/v1/predictions/{listed['id']}/").json() == listed


@pytest.mark.parametrize(
    "query", ["user__password=x", "ordering=id", "verdict=x", "before=x", "since=x", "page=2"]
)
def test_unknown_filters_are_refused(api, query):
    response = api.get(f"/api/v1/predictions/?{query}")
    assert response.status_code == 400
    assert list(response.json()["fields"]) == [query.partition("=")[0]]


def test_anothers_prediction_does_not_exist(api):
    theirs = make_prediction()
    for response in (
        api.get(f"/api/v1/predictions/{theirs.uuid}/"),
        api.post(f"/api/v1/predictions/{theirs.uuid}/feedback", {"verdict": "OK"}, format="json"),
        client_of(make_user("maintainer")).get(f"/api/v1/predictions/{theirs.uuid}/"),
    ):
        assert response.status_code == 404
        assert response.json()["code"] == "not_found"
    assert not Feedback.objects.exists()


def test_a_nok_is_taken_with_a_category(api, alice):
    prediction = make_prediction(alice)
    pizza = make_category(prediction.project, "pizza")
    url = f"/api/v1/predictions/{prediction.uuid}/feedback"
    response = api.post(url, {"verdict": "NOK", "category": "Pizza"}, format="json")
    assert response.status_code == 200
    assert (response.json()["verdict"], response.json()["category"]) == ("NOK", "pizza")
    assert Feedback.objects.get().category == pizza


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"NOK"',
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"verdict": NaN}',
        b'{"verdict": "nok"}',
        b'{"verdict": ["NOK"]}',
        b'{"category": "pizza"}',
        b'{"verdict": "NOK", "category": {"a": 1}}',
        b'{"verdict": "NOK", "category": "a\\u0000b"}',
        b'{"verdict": "NOK", "category": "\\ud800"}',
        b'{"verdict": "NOK", "category": "' + b"x" * 101 + b'"}',
        b'{"verdict": ' + b"9" * 5000 + b"}",
        b'{"verdict": "' + b"x" * 3_000_000 + b'"}',
    ],
    ids=range(17),
)
def test_a_verdict_that_makes_no_sense_is_refused(api, alice, body):
    prediction = make_prediction(alice)
    url = f"/api/v1/predictions/{prediction.uuid}/feedback"
    response = api.generic("POST", url, body, content_type="application/json")
    assert response.status_code == (413 if len(body) > json_bodies.MAX_BYTES else 400)
    assert set(response.json()) == {"code", "message", "fields"}
    assert not Feedback.objects.exists()


def test_a_nok_on_a_picture_that_is_gone_is_a_conflict(api, alice):
    prediction = make_prediction(alice)
    url = f"/api/v1/predictions/{prediction.uuid}/feedback"
    assert api.post(url, {"verdict": "OK"}, format="json").status_code == 200
    response = api.post(url, {"verdict": "NOK"}, format="json")
    assert response.status_code == 409
    assert response.json()["code"] == "picture_gone"


def test_an_account_without_a_role_may_not(project):
    stranger = client_of(make_user(""))
    for response in (
        stranger.get("/api/v1/projects/"),
        stranger.post(PREDICT, {"file": make_upload()}),
    ):
        assert response.status_code == 403
        assert response.json()["code"] == "permission_denied"


def test_a_session_needs_a_csrf_token(project, alice):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(alice)
    for body in ({"file": make_upload()},):
        response = client.post(PREDICT, body)
        assert response.status_code == 403
        assert "CSRF" in response.json()["message"]
    response = client.post(PREDICT, make_picture_bytes(), content_type="image/jpeg")
    assert response.status_code == 403
    assert not Sample.objects.exists()


@pytest.mark.parametrize("name", ["since", "until", "before"])
def test_an_empty_day_is_none(api, name):
    answer = api.get("/api/v1/predictions/", {name: ""})
    assert answer.status_code == 400 and list(answer.json()["fields"]) == [name]

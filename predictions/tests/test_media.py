import pytest
from django.urls import reverse

from predictions.models import Sample
from predictions.tests.factories import make_picture_bytes, make_prediction, make_sample, make_user

pytestmark = pytest.mark.django_db


def address(name: str, sample: Sample) -> str:
    return reverse(f"predictions:{name}", args=[sample.uuid])


@pytest.mark.parametrize("name", ["picture", "thumbnail"])
def test_who_asked_about_a_picture_sees_it_and_nothing_active(client, name):
    prediction = make_prediction()
    client.force_login(prediction.user)
    response = client.get(address(name, prediction.sample))
    assert response.status_code == 200
    assert response.content.startswith(b"\xff\xd8")
    assert response["Content-Type"] == "image/jpeg"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert (
        response["Content-Security-Policy"] == "default-src 'none'; sandbox; frame-ancestors 'none'"
    )
    assert "private" in response["Cache-Control"]


@pytest.mark.parametrize("name", ["picture", "thumbnail"])
@pytest.mark.parametrize("role", ["reviewer", "maintainer"])
def test_reviewers_see_every_picture(client, name, role):
    client.force_login(make_user(role))
    assert client.get(address(name, make_sample())).status_code == 200


@pytest.mark.parametrize("name", ["picture", "thumbnail"])
@pytest.mark.parametrize("role", ["user", ""])
def test_to_strangers_a_picture_does_not_exist(client, name, role):
    sample = make_prediction().sample
    client.force_login(make_user(role))
    assert client.get(address(name, sample)).status_code == 404


@pytest.mark.parametrize("name", ["picture", "thumbnail"])
def test_anonymous_visitors_are_sent_to_the_login(client, name):
    response = client.get(address(name, make_sample()))
    assert response.status_code == 302
    assert response["Location"].startswith("/account/login/")


def test_the_browser_need_not_fetch_it_twice(client):
    prediction = make_prediction()
    client.force_login(prediction.user)
    tag = client.get(address("picture", prediction.sample))["ETag"]
    assert (
        client.get(address("picture", prediction.sample), HTTP_IF_NONE_MATCH=tag).status_code == 304
    )


def test_a_picture_that_was_let_go_is_not_found(client):
    prediction = make_prediction(sample=make_sample(location=Sample.Location.NOWHERE))
    client.force_login(prediction.user)
    assert client.get(address("picture", prediction.sample)).status_code == 404


@pytest.mark.parametrize(
    "left", [b"half a picture", make_picture_bytes(format="PNG").replace(b"\x0dIHDR", b"\x02IHDR")]
)
def test_of_a_damaged_picture_there_is_no_thumbnail(client, left):
    client.force_login(make_user("reviewer"))
    assert client.get(address("thumbnail", make_sample(data=left))).status_code == 404


def test_a_type_that_could_be_active_is_never_sent(client):
    sample = make_sample(data=b"<svg onload='alert(1)'/>")
    Sample.objects.update(media_type="image/svg+xml")
    client.force_login(make_user("reviewer"))
    assert client.get(address("picture", sample))["Content-Type"] == "application/octet-stream"


def test_while_the_store_does_not_answer_the_page_says_so(client, monkeypatch):
    def fail(*args, **kwargs):
        raise ConnectionError("down")

    sample = make_sample()
    monkeypatch.setattr(Sample, "read", fail)
    client.force_login(make_user("reviewer"))
    response = client.get(address("picture", sample))
    assert response.status_code == 503
    assert b"try again" in response.content

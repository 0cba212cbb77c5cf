import pytest
from django.urls import reverse

from common import jobs, tasks
from predictions.models import Batch, Feedback, Prediction, Sample
from predictions.tests.factories import (
    make_category,
    make_feedback,
    make_live_model,
    make_prediction,
    make_project,
    make_upload,
    make_user,
)

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def alice(client):
    user = make_user()
    client.force_login(user)
    return user


def upload_url(project=None) -> str:
    return (project or make_live_model().project).get_absolute_url()


def feedback_url(prediction) -> str:
    return reverse("predictions:feedback", args=[prediction.uuid])


def test_the_upload_page_says_what_is_accepted(client, alice, settings):
    settings.UPLOAD_FORMATS, settings.UPLOAD_MAX_BYTES = ["JPEG", "WEBP"], 4_000_000
    page = client.get(upload_url()).content.decode()
    assert "File formats accepted: JPEG, WebP." in page
    assert "exceed: 4 MB" in page
    assert 'accept=".jpg,.jpeg,image/jpeg,.webp,image/webp,.zip"' in page


def test_with_htmx_the_answer_is_a_part_of_the_page(client, alice):
    response = client.post(upload_url(), {"file": make_upload(name="<b>dinner</b>.jpg")}, **HTMX)
    page = response.content.decode()
    prediction = Prediction.objects.get()
    assert response.status_code == 200
    assert "<html" not in page
    assert page.count("<meter") == 3
    assert "Model version 1" in page and "NOK" in page
    assert str(prediction.uuid) in page
    assert "<b>dinner" not in page


def test_without_script_the_answer_is_a_page_of_its_own(client, alice):
    response = client.post(upload_url(), {"file": make_upload()}, follow=True)
    assert response.redirect_chain == [(Prediction.objects.get().get_absolute_url(), 302)]
    assert b"<meter" in response.content


@pytest.mark.parametrize("headers", [HTMX, {}])
def test_what_is_no_picture_is_refused_in_place(client, alice, headers):
    response = client.post(upload_url(), {"file": make_upload(b"%PDF-1.7")}, **headers)
    assert response.status_code == 400
    assert b'role="alert"' in response.content
    assert b"JPEG" in response.content
    assert ('id="upload"' in response.content.decode()) is not bool(headers)
    assert not Sample.objects.exists()


def test_nothing_chosen_is_said_in_place(client, alice):
    response = client.post(upload_url())
    assert response.status_code == 400
    assert b"choose a picture" in response.content


def test_without_a_model_the_page_says_whom_to_ask(client, alice):
    project = make_project()
    assert b"ask a maintainer" in client.get(upload_url(project)).content
    response = client.post(upload_url(project), {"file": make_upload()})
    assert response.status_code == 409
    client.force_login(make_user("maintainer"))
    assert b"Add categories" in client.get(upload_url(project)).content


def test_too_many_pictures_come_with_the_seconds_to_wait(client, alice, settings):
    settings.UPLOAD_QUOTA = 1
    url = upload_url()
    client.post(url, {"file": make_upload()})
    for headers in (HTMX, {}):
        response = client.post(url, {"file": make_upload()}, **headers)
        assert response.status_code == 429
        assert int(response["Retry-After"]) > 0


def test_an_unsure_model_says_so(client, alice):
    project = make_live_model(make_project(abstain_below=1.0)).project
    assert (
        b"The model is unsure"
        in client.post(upload_url(project), {"file": make_upload()}, **HTMX).content
    )


@pytest.mark.parametrize("headers", [HTMX, {}])
def test_several_pictures_become_a_batch_with_a_page(client, alice, headers):
    files = [make_upload(name="a.jpg"), make_upload(b"nothing", name="b.jpg")]
    response = client.post(upload_url(), {"file": files}, **headers)
    url = Batch.objects.get().get_absolute_url()
    assert response.headers.get("HX-Redirect" if headers else "Location") == url
    waiting = client.get(url, **HTMX).content.decode()
    assert 'hx-trigger="every 1s"' in waiting and "1 of 2 done" in waiting
    tasks.autodiscover()
    jobs.run_due_jobs()
    done = client.get(url).content.decode()
    assert "hx-trigger" not in done
    assert "1 answered" in done and "1 refused" in done
    assert reverse("predictions:thumbnail", args=[Sample.objects.get().uuid]) in done


def test_a_batch_is_its_senders_alone(client, alice):
    batch = Batch.objects.create(project=make_project(), user=make_user())
    assert client.get(batch.get_absolute_url()).status_code == 404
    assert client.post(reverse("predictions:go_on", args=[batch.uuid])).status_code == 404


def test_a_stopped_batch_goes_on_when_asked(client, alice):
    batch = Batch.objects.create(project=make_live_model().project, user=alice)
    batch.items.create(shown_name="a.jpg", sample=make_prediction(project=batch.project).sample)
    assert b"Try again" in client.get(batch.get_absolute_url()).content
    assert client.post(reverse("predictions:go_on", args=[batch.uuid])).status_code == 302
    assert b"hx-trigger" in client.get(batch.get_absolute_url()).content


@pytest.mark.parametrize(
    ("verdict", "says"), [("OK", b"not kept"), ("NOK", b"a reviewer"), ("UNSURE", b"is kept")]
)
def test_a_verdict_is_taken_in_place(client, alice, verdict, says):
    prediction = make_prediction(alice)
    response = client.post(feedback_url(prediction), {"verdict": verdict}, **HTMX)
    assert response.status_code == 200
    assert says in response.content
    assert b"<html" not in response.content
    assert Feedback.objects.get().verdict == verdict


def test_without_script_a_verdict_leads_to_the_page_of_the_prediction(client, alice):
    prediction = make_prediction(alice)
    make_category(prediction.project, "pizza")
    response = client.post(
        feedback_url(prediction), {"verdict": "NOK", "category": "pizza"}, follow=True
    )
    assert b"<strong>pizza</strong>" in response.content


def test_a_refused_verdict_keeps_the_buttons(client, alice):
    prediction = make_prediction(alice)
    for headers in (HTMX, {}):
        response = client.post(
            feedback_url(prediction), {"verdict": "OK", "category": "pizza"}, **headers
        )
        assert response.status_code == 400
        assert b"alert-danger" in response.content and b'value="NOK"' in response.content


def test_a_suggested_name_is_shown_as_text_only(client, alice):
    prediction = make_prediction(alice)
    client.post(
        feedback_url(prediction), {"verdict": "NOK", "category": "<script>alert(1)</script>"}
    )
    assert b"<script>alert" not in client.get(prediction.get_absolute_url()).content


def test_anothers_prediction_does_not_exist(client, alice):
    theirs = make_prediction()
    assert client.get(theirs.get_absolute_url()).status_code == 404
    assert client.post(feedback_url(theirs), {"verdict": "OK"}).status_code == 404
    client.force_login(make_user("maintainer"))
    assert client.get(theirs.get_absolute_url()).status_code == 404
    assert not Feedback.objects.exists()


def test_history_shows_own_predictions_with_their_verdicts(client, alice):
    mine, theirs = (
        make_prediction(alice, shown_name="mine.jpg"),
        make_prediction(shown_name="theirs.jpg"),
    )
    make_feedback(mine, "NOK", suggestion="pizza")
    page = client.get(reverse("predictions:history")).content.decode()
    assert "mine.jpg" in page and "pizza" in page and "In review" in page
    assert theirs.shown_name not in page


def test_history_links_to_older_ones_and_keeps_the_filter(client, alice):
    version = make_live_model()
    for _ in range(30):
        last = make_prediction(alice, model_version=version)
    url = reverse("predictions:history")
    page = client.get(url, {"project": version.project.slug}).content.decode()
    assert f"?project={version.project.slug}&amp;before={last.pk - 23}" in page


@pytest.mark.parametrize("query", [{"user__password": "x"}, {"ordering": "id"}, {"before": "x"}])
def test_history_refuses_unknown_filters(client, alice, query):
    assert client.get(reverse("predictions:history"), query).status_code == 400


def test_history_asks_as_many_queries_for_many_rows_as_for_few(
    client, alice, django_assert_max_num_queries
):
    version = make_live_model()
    for _ in range(20):
        make_feedback(make_prediction(alice, model_version=version))
    with django_assert_max_num_queries(13):
        client.get(reverse("predictions:history"))


def test_the_start_page_leads_a_maintainer_to_the_first_project(client):
    client.force_login(make_user("maintainer"))
    assert reverse("new_project:name") in client.get(reverse("home")).content.decode()


def test_the_start_page_tells_a_user_whom_to_ask(client, alice):
    assert b"ask a maintainer" in client.get(reverse("home")).content
    version = make_live_model()
    page = client.get(reverse("home")).content.decode()
    assert f"Version {version.number} live" in page
    assert "New project" not in page


@pytest.mark.parametrize("name", ["history", "upload", "detail", "batch"])
def test_every_page_asks_for_a_login_and_a_role(client, name):
    prediction = make_prediction()
    batch = Batch.objects.create(project=prediction.project, user=prediction.user)
    arguments = {
        "upload": [prediction.project.slug],
        "detail": [prediction.uuid],
        "batch": [batch.uuid],
    }
    url = reverse(f"predictions:{name}", args=arguments.get(name, []))
    assert client.get(url)["Location"].startswith("/account/login/")
    client.force_login(make_user(""))
    assert client.get(url).status_code == 403
    client.force_login(prediction.user)
    assert client.get(url).status_code == 200


def test_an_unknown_project_is_not_found(client, alice):
    assert client.get(reverse("predictions:upload", args=["nowhere"])).status_code == 404


def test_in_french_bars_keep_their_length(client, alice):
    prediction = make_prediction(alice)
    page = client.get(prediction.get_absolute_url(), HTTP_ACCEPT_LANGUAGE="fr").content.decode()
    assert 'value="0.8"' in page
    assert "80,0" in page

"""The shell around every page: errors, expired log-ins, forged forms and hosts."""

import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from django.conf import settings
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from accounts.models import User
from accounts.tests.factories import PASSWORD, make_user
from classifr.tests.process_tree import ROOT, environment
from predictions.tests.factories import make_prediction

pytestmark = pytest.mark.django_db

LANGUAGE = "/language/setlang/"


@pytest.fixture
def careful_client() -> Client:
    """A client that checks forms as a browser's server does, and turns errors into answers."""
    return Client(enforce_csrf_checks=True, raise_request_exception=False)


def test_the_page_names_its_language_and_skips_to_its_content(client):
    page = client.get(reverse("account_login")).content.decode()
    assert '<html lang="en"' in page
    assert 'href="#content"' in page


def test_the_language_is_changed_and_the_page_kept(client):
    response = client.post(LANGUAGE, {"language": "fr", "next": "/account/login/"})
    assert response["Location"] == "/account/login/"
    assert '<html lang="fr"' in client.get("/account/login/").content.decode()


def test_changing_the_language_leads_to_no_other_site(client):
    assert (
        client.post(LANGUAGE, {"language": "fr", "next": "https://evil.example"})["Location"] == "/"
    )


def test_the_navigation_marks_where_one_is(client):
    client.force_login(make_user())
    page = client.get(reverse("accounts:profile")).content.decode()
    assert page.count('aria-current="page"') == 1


def test_the_help_page_is_for_those_who_are_logged_in(client):
    assert client.get(reverse("help")).status_code == 302
    client.force_login(make_user())
    assert "<kbd>U</kbd>" in client.get(reverse("help")).content.decode()


def test_the_help_page_names_every_key_of_the_review_page(client):
    client.force_login(make_user())
    page = client.get(reverse("help")).content.decode()
    keys = Path(settings.BASE_DIR, "templates/review/_help.html").read_text()
    keys = keys.replace('{% translate "Space" %}', "Space")
    named = {key for key in re.findall(r"<kbd>(.+?)</kbd>", keys) if key != "Esc"}
    assert named <= set(re.findall(r"<kbd>(.+?)</kbd>", page))


def test_a_wrong_address_gets_a_page_a_part_or_json_as_it_asked(client):
    assert "Page not found" in client.get("/nothing").content.decode()
    part = client.get("/nothing", headers={"HX-Request": "true"})
    assert (part.status_code, "<html" in part.content.decode()) == (404, False)
    answer = client.get("/api/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_what_a_role_does_not_allow_gets_a_page_that_says_so(client):
    client.force_login(make_user())
    response = client.get(reverse("accounts:users"))
    assert response.status_code == 403
    assert "Ask a maintainer" in response.content.decode()


def test_a_broken_page_says_so_without_the_database(careful_client, django_assert_num_queries):
    with patch("classifr.views.render", side_effect=ValueError("broken")):
        careful_client.force_login(make_user())
        response = careful_client.get(reverse("help"))
    assert response.status_code == 500
    assert "on our side" in response.content.decode()


def test_a_database_that_is_gone_is_told_as_a_pause(careful_client):
    with patch("classifr.views.render", side_effect=OperationalError("gone")):
        careful_client.force_login(make_user())
        response = careful_client.get(reverse("help"), headers={"HX-Request": "true"})
    assert response.status_code == 503
    assert "database does not answer" in response.content.decode()
    assert "<html" not in response.content.decode()


def test_the_question_for_the_password_is_a_whole_page_as_well(client):
    client.force_login(make_user())
    here = {"HX-Request": "true", "HX-Current-URL": "http://testserver/account/"}
    response = client.post(reverse("accounts:create_token"), {"name": "x"}, headers=here)
    assert response["HX-Redirect"] == "/account/reauthenticate/?next=%2Faccount%2F"


def test_an_expired_log_in_sends_the_whole_page_to_the_log_in(client):
    here = {"HX-Request": "true", "HX-Current-URL": "http://testserver/account/?x=1"}
    response = client.post(reverse("accounts:create_token"), {"name": "x"}, headers=here)
    assert response.status_code == 204
    assert response["HX-Redirect"] == "/account/login/?next=%2Faccount%2F"
    assert not response.content


def test_another_redirect_reaches_htmx_as_it_is(client):
    client.force_login(make_user())
    response = client.post(
        LANGUAGE, {"language": "fr", "next": "/"}, headers={"HX-Request": "true"}
    )
    assert "HX-Redirect" not in response


def test_the_next_page_after_a_log_in_is_never_another_site(client):
    make_user("alice")
    data = {"login": "alice", "password": PASSWORD, "next": "https://evil.example/"}
    assert client.post(reverse("account_login"), data)["Location"] == "/"


def test_a_form_without_its_token_is_refused_and_told_what_to_do(careful_client):
    response = careful_client.post(reverse("account_login"), {"login": "x", "password": "y"})
    assert response.status_code == 403
    assert "reload the page" in response.content.decode()


def test_a_form_from_another_origin_is_refused(careful_client):
    careful_client.get(reverse("account_login"))
    token = careful_client.cookies["csrftoken"].value
    for origin, status in (("http://testserver", 200), ("https://evil.example", 403)):
        data = {"login": "x", "password": "y", "csrfmiddlewaretoken": token}
        response = careful_client.post(reverse("account_login"), data, headers={"Origin": origin})
        assert response.status_code == status, origin


@pytest.mark.parametrize("host", ["evil.example", "testserver.evil.example", "bad host", "a" * 300])
def test_a_foreign_host_is_refused(careful_client, host):
    response = careful_client.get(reverse("account_login"), headers={"Host": host})
    assert response.status_code == 400


def test_a_forged_host_reaches_no_mail(careful_client, mailoutbox):
    make_user("alice")
    careful_client.post(
        "/account/password/reset/", {"email": "alice@example.com"}, headers={"Host": "evil.example"}
    )
    assert mailoutbox == []


def test_pages_carry_a_policy_that_forbids_inline_scripts_and_frames(client):
    response = client.get(reverse("account_login"))
    policy = response["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "style=" not in response.content.decode()


def test_an_answer_with_a_policy_of_its_own_keeps_it(client):
    prediction = make_prediction(user=make_user("alice"))
    client.force_login(prediction.user)
    policies = {
        client.get(address)["Content-Security-Policy"] for address in (reverse("home"), "/nowhere/")
    }
    assert len(policies) == 1
    picture = client.get(reverse("predictions:picture", args=[prediction.sample.uuid]))
    assert picture["Content-Security-Policy"] not in policies


def test_the_policy_is_that_of_the_setting(client, settings):
    before = client.get("/healthz")["Content-Security-Policy"]
    settings.CONTENT_SECURITY_POLICY = {
        "DIRECTIVES": {"default-src": ["https://pictures.example.com"]}
    }
    assert (
        client.get("/healthz")["Content-Security-Policy"]
        == "default-src https://pictures.example.com"
    )
    assert "pictures.example.com" not in before


def test_hostile_words_in_the_address_break_nothing(careful_client):
    careful_client.force_login(User.objects.create_superuser("root"))
    for query in (
        "search=%00",
        "after=%00&search=%27",
        "search=" + "a" * 3000,
        "after=" + "é" * 200,
    ):
        assert careful_client.get(f"{reverse('accounts:users')}?{query}").status_code < 500, query


def test_messages_are_text(client):
    client.force_login(User.objects.create_superuser("root"))
    client.post(reverse("accounts:invite"), {"email": "a<b>@example.com", "role": "user"})
    assert "a<b>@" not in client.get(reverse("accounts:users")).content.decode()


def test_no_page_may_use_what_a_device_has(client):
    policy = client.get(reverse("account_login"))["Permissions-Policy"]
    assert {"camera=()", "geolocation=()", "microphone=()"} <= set(policy.split(", "))


def test_the_description_of_the_api_is_open_whatever_token_comes_along(client):
    answer = client.get(reverse("api:schema"), headers={"Authorization": "Token wrong"})
    assert answer.status_code == 200


def test_a_command_whose_reader_has_had_enough_ends_without_a_traceback(tmp_path):
    command = f"{sys.executable} manage.py help --commands | true"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=ROOT,
        env=environment(tmp_path) | {"PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr

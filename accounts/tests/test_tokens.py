"""API tokens are shown once, belong to one user and can be revoked."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.test import APIRequestFactory

from accounts import tokens
from accounts.authentication import ApiTokenAuthentication
from accounts.models import ApiToken, User
from accounts.tests.factories import PASSWORD, confirm_password, make_token, make_user
from common.errors import Conflict

pytestmark = pytest.mark.django_db


def who_is(token: str) -> User:
    request = APIRequestFactory().get("/", headers={"Authorization": f"Token {token}"})
    return ApiTokenAuthentication().authenticate(request)[0]


def test_a_token_is_shown_once_and_works(client):
    alice = make_user("alice")
    client.force_login(alice)
    confirm_password(client)
    response = client.post(reverse("accounts:create_token"), {"name": "my script"})
    text = response.context["new_token_text"]
    assert text in response.content.decode()
    assert "no-store" in response["Cache-Control"]
    assert who_is(text) == alice
    assert text not in client.get(reverse("accounts:profile")).content.decode()
    assert text not in str(ApiToken.objects.values().get())


def test_before_a_token_is_made_the_password_is_asked_for(client):
    client.force_login(make_user())
    response = client.post(reverse("accounts:create_token"), {"name": "my script"})
    assert not ApiToken.objects.exists()
    page = client.get(response["Location"])
    form = {"password": "wrong", "next": page.context["redirect_field_value"]}
    client.post(reverse("account_reauthenticate"), form)
    assert not ApiToken.objects.exists()
    shown = client.post(reverse("account_reauthenticate"), form | {"password": PASSWORD})
    assert ApiToken.objects.get().name == "my script"
    assert shown.context["new_token_text"] in shown.content.decode()


def test_a_token_without_a_name_is_not_made(client):
    client.force_login(make_user())
    confirm_password(client)
    client.post(reverse("accounts:create_token"), {"name": "  "})
    assert not ApiToken.objects.exists()


def test_a_revoked_token_is_refused(client):
    alice = make_user("alice")
    text = make_token(alice)
    client.force_login(alice)
    client.post(reverse("accounts:revoke_token", args=[ApiToken.objects.get().token_key]))
    with pytest.raises(AuthenticationFailed):
        who_is(text)


def test_another_users_token_cannot_be_revoked(client):
    make_token(make_user("alice"))
    client.force_login(make_user("bob"))
    response = client.post(
        reverse("accounts:revoke_token", args=[ApiToken.objects.get().token_key])
    )
    assert response.status_code == 404
    assert ApiToken.objects.exists()


def test_an_expired_token_is_refused():
    text = make_token(make_user())
    ApiToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    with pytest.raises(AuthenticationFailed):
        who_is(text)


@pytest.mark.parametrize("token", ["", "x", "0" * 64, "é"])
def test_a_made_up_token_is_refused(token):
    with pytest.raises(AuthenticationFailed):
        who_is(token)


def test_a_token_of_a_deactivated_user_is_refused():
    alice = make_user("alice")
    text = make_token(alice)
    User.objects.update(is_active=False)
    with pytest.raises(AuthenticationFailed):
        who_is(text)


def test_the_last_use_is_noted_but_not_with_every_request(django_assert_num_queries):
    text = make_token(make_user())
    who_is(text)
    noted = ApiToken.objects.get().last_used_at
    assert noted
    with django_assert_num_queries(1):
        who_is(text)
    assert ApiToken.objects.get().last_used_at == noted


def test_a_user_has_so_many_tokens_at_most():
    alice = make_user("alice")
    for number in range(tokens.MAX_PER_USER):
        make_token(alice, f"script {number}")
    with pytest.raises(Conflict, match="Revoke one"):
        make_token(alice)


def test_the_command_prints_the_token_and_nothing_else():
    make_user("alice")
    out = StringIO()
    call_command("create_token", "alice", stdout=out)
    assert who_is(out.getvalue().strip()).username == "alice"
    assert len(out.getvalue().splitlines()) == 1


def test_the_command_refuses_an_unknown_and_an_inactive_user():
    make_user("bob", is_active=False)
    with pytest.raises(CommandError, match="no user 'alice'"):
        call_command("create_token", "alice")
    with pytest.raises(CommandError, match="deactivated"):
        call_command("create_token", "bob")


def test_a_user_is_made_by_command(monkeypatch, client):
    monkeypatch.setenv("CLASSIFR_USER_PASSWORD", PASSWORD)
    call_command(
        "create_user", "alice", role="reviewer", email="alice@example.com", stdout=StringIO()
    )
    client.post(reverse("account_login"), {"login": "alice@example.com", "password": PASSWORD})
    assert client.get(reverse("home")).status_code == 200
    for name, email in (("ALICE", ""), ("other", "Alice@example.com")):
        with pytest.raises(CommandError, match="already"):
            call_command("create_user", name, email=email)
    monkeypatch.setenv("CLASSIFR_USER_PASSWORD", "12345")
    with pytest.raises(CommandError, match="too short"):
        call_command("create_user", "carol")

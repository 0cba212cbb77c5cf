"""Log-in by OpenID Connect, against a small provider of our own: known and invited people only."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from django.urls import reverse

from accounts import roles
from accounts.models import User
from accounts.roles import Role
from accounts.tests.factories import make_invitation, make_user

pytestmark = pytest.mark.django_db


class Provider(HTTPServer):
    """Answers what an OpenID provider answers; `person` is who logs in there."""

    person: dict[str, object]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Provider

    def answer(self) -> None:
        address = self.server.address
        answers: dict[str, object] = {
            "/.well-known/openid-configuration": {
                "issuer": address,
                "authorization_endpoint": f"{address}/authorize",
                "token_endpoint": f"{address}/token",
                "userinfo_endpoint": f"{address}/userinfo",
                "jwks_uri": f"{address}/keys",
            },
            "/token": {"access_token": "secret", "token_type": "Bearer"},
            "/userinfo": self.server.person,
        }
        body = json.dumps(answers[self.path]).encode()
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def provider(settings) -> Iterator[Provider]:
    server = Provider(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    app = {
        "provider_id": "entra",
        "name": "Our organisation",
        "client_id": "classifr",
        "secret": "x",
        "settings": {"server_url": server.address},
    }
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [app]}}
    yield server
    server.shutdown()
    server.server_close()


def come_from(provider: Provider, client, email: str, *, verified: bool, groups=()):
    provider.person = {
        "sub": email,
        "email": email,
        "email_verified": verified,
        "preferred_username": email,
        "groups": list(groups),
    }
    start = client.post("/account/oidc/entra/login/")
    state = parse_qs(urlsplit(start["Location"]).query)["state"][0]
    return client.get(
        "/account/oidc/entra/login/callback/", {"code": "1", "state": state}, follow=True
    )


def is_logged_in(client) -> bool:
    return client.get(reverse("accounts:profile")).status_code == 200


def test_the_button_is_there_with_the_setting_only(client, provider, settings):
    assert "Our organisation" in client.get(reverse("account_login")).content.decode()
    settings.SOCIALACCOUNT_PROVIDERS = {}
    assert "Our organisation" not in client.get(reverse("account_login")).content.decode()


def test_a_stranger_is_not_let_in(client, provider):
    response = come_from(provider, client, "stranger@example.com", verified=True)
    assert "open the link in your invitation" in response.content.decode()
    assert not User.objects.exists()


def test_an_invited_address_that_the_provider_vouches_for_gets_its_role(client, provider):
    invitation, _token = make_invitation("new@example.com", Role.REVIEWER)
    come_from(provider, client, "new@example.com", verified=True)
    assert is_logged_in(client)
    assert roles.role_of(User.objects.get(email="new@example.com")) == Role.REVIEWER
    invitation.refresh_from_db()
    assert invitation.accepted_at


def test_an_invited_address_that_nobody_vouches_for_needs_the_link(client, provider):
    _invitation, token = make_invitation("new@example.com")
    come_from(provider, client, "new@example.com", verified=False)
    assert not is_logged_in(client)
    client.get(reverse("accounts:invitation", args=[token]))
    come_from(provider, client, "new@example.com", verified=False)
    assert is_logged_in(client)


def test_a_link_does_not_let_another_address_in(client, provider):
    _invitation, token = make_invitation("new@example.com")
    client.get(reverse("accounts:invitation", args=[token]))
    come_from(provider, client, "other@example.com", verified=True)
    assert not is_logged_in(client)
    assert not User.objects.filter(email="other@example.com").exists()


def test_a_known_user_comes_in_by_a_vouched_address(client, provider):
    alice = make_user("alice")
    come_from(provider, client, "alice@example.com", verified=True)
    assert client.get(reverse("accounts:profile")).context["user"] == alice


def test_nobody_comes_in_as_a_known_user_by_an_address_that_nobody_vouches_for(client, provider):
    make_user("alice")
    come_from(provider, client, "alice@example.com", verified=False)
    assert not is_logged_in(client)


def test_a_deactivated_user_stays_out(client, provider):
    make_user("alice", is_active=False)
    come_from(provider, client, "alice@example.com", verified=True)
    assert not is_logged_in(client)


def test_groups_of_the_provider_give_roles_at_each_log_in(client, provider, settings):
    settings.OIDC_GROUPS = '{"team": {"role": "reviewer"}}'
    make_invitation("new@example.com")
    come_from(provider, client, "new@example.com", verified=True, groups=["team"])
    user = User.objects.get(email="new@example.com")
    assert roles.role_of(user) == Role.REVIEWER
    settings.OIDC_GROUPS = '{"team": {"role": "maintainer"}, "others": {"role": "user"}}'
    client.logout()
    come_from(provider, client, "new@example.com", verified=True, groups=["team"])
    assert roles.role_of(user) == Role.MAINTAINER

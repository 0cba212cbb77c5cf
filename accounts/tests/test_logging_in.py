"""The log-in does not reveal who exists, is throttled, and ended sessions stay ended."""

import re
from unittest.mock import patch

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core import mail
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from accounts.models import ApiToken, User
from accounts.tests.factories import PASSWORD, confirm_password, make_token, make_user

pytestmark = pytest.mark.django_db

LOGIN = "/account/login/"
RESET = "/account/password/reset/"
NEW_PASSWORD = "an even longer phrase"


def text_of(response) -> str:
    """The page without what differs in every answer."""
    return re.sub(
        r'csrf\w*"? ?[:=].*?["\']\s*[^"\']+["\']|value="[^"]*"|x-csrftoken[^}]*',
        "",
        response.content.decode(),
    )


def log_in(client: Client, login: str, password: str = PASSWORD):
    return client.post(LOGIN, {"login": login, "password": password})


@pytest.mark.parametrize("login", ["alice", "alice@example.com", "ALICE@example.com"])
def test_a_user_logs_in_by_name_or_address(client, login):
    make_user("alice")
    assert log_in(client, login).status_code == 302
    assert client.get(reverse("home")).status_code == 200


@pytest.mark.parametrize(
    ("known", "unknown"), [("alice", "nobody"), ("alice@example.com", "nobody@example.com")]
)
def test_a_wrong_password_and_an_unknown_user_get_the_same_words(client, known, unknown):
    make_user("alice")
    make_user("gone", is_active=False)
    answers = {text_of(log_in(client, login, "wrong password")) for login in (known, unknown)}
    assert len(answers) == 1


@pytest.mark.parametrize(
    "login", ["alice", "alice@example.com", "nobody", "nobody@example.com", "gone", "keyless"]
)
def test_every_try_costs_exactly_one_password_check(client, login):
    make_user("alice")
    make_user("gone", is_active=False)
    keyless = make_user("keyless")
    keyless.set_unusable_password()
    keyless.save()
    with patch.object(
        MD5PasswordHasher, "encode", autospec=True, side_effect=MD5PasswordHasher.encode
    ) as encode:
        log_in(client, login, "wrong password")
    assert encode.call_count == 1, "the time of an answer would tell who exists"


def test_known_and_unknown_addresses_get_the_same_answer_to_a_reset_and_one_mail_each(client):
    make_user("alice")
    known = client.post(RESET, {"email": "alice@example.com"}, follow=True)
    unknown = client.post(RESET, {"email": "nobody@example.com"}, follow=True)
    assert text_of(known) == text_of(unknown)
    assert [letter.to for letter in mail.outbox] == [["alice@example.com"], ["nobody@example.com"]]
    assert "password/reset/key" not in mail.outbox[1].body
    assert mail.outbox[0].subject == mail.outbox[1].subject


def test_a_mail_server_that_is_down_gives_the_same_honest_answer_to_both(client, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    make_user("alice")
    answers = [client.post(RESET, {"email": f"{name}@example.com"}) for name in ("alice", "nobody")]
    assert [answer.status_code for answer in answers] == [503, 503]
    assert text_of(answers[0]) == text_of(answers[1])


def test_the_sixth_wrong_password_for_a_user_has_to_wait(client):
    make_user("alice")
    answers = [log_in(client, "alice", "wrong password") for _ in range(6)]
    assert "Too many" in answers[-1].content.decode()
    assert log_in(client, "alice").status_code == 200, "even the right one, for now"


def test_many_tries_from_one_address_are_refused(client):
    statuses = [
        log_in(client, f"user{number}", "wrong password").status_code for number in range(31)
    ]
    assert statuses[-1] == 429


def test_resets_are_throttled(client):
    statuses = [client.post(RESET, {"email": "alice@example.com"}).status_code for _ in range(6)]
    assert statuses[-1] == 429
    assert len(mail.outbox) <= 5


def test_the_admin_has_no_log_in_of_its_own(client):
    response = client.get("/admin/login/", follow=True)
    assert response.redirect_chain[0][0].startswith(LOGIN)


def test_logging_out_needs_a_post_and_ends_the_session(client):
    client.force_login(make_user())
    cookie = client.cookies["sessionid"].value
    client.get(reverse("account_logout"))
    assert client.get(reverse("home")).status_code == 200
    client.post(reverse("account_logout"))
    client.cookies["sessionid"] = cookie
    assert client.get(reverse("home")).status_code == 302, "the old cookie opens nothing"


def test_a_new_password_ends_other_sessions_and_all_tokens_but_not_this_session(client):
    alice = make_user("alice")
    make_token(alice)
    elsewhere = Client()
    log_in(elsewhere, "alice")
    log_in(client, "alice")
    passwords = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    response = client.post(reverse("account_change_password"), passwords, follow=True)
    assert "your API tokens are revoked" in response.content.decode()
    assert client.get(reverse("home")).status_code == 200
    assert elsewhere.get(reverse("home")).status_code == 302
    assert not ApiToken.objects.exists()


def test_a_new_password_needs_the_old_one(client):
    alice = make_user("alice")
    client.force_login(alice)
    passwords = {"oldpassword": "wrong", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    client.post(reverse("account_change_password"), passwords)
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_a_reset_works_once_and_ends_sessions_and_tokens(client):
    alice = make_user("alice")
    make_token(alice)
    elsewhere = Client()
    log_in(elsewhere, "alice")
    client.post(RESET, {"email": "alice@example.com"})
    link = re.search(r"http://testserver(\S+)", str(mail.outbox[0].body)).group(1)
    form = client.get(link, follow=True)
    passwords = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    client.post(form.request["PATH_INFO"], passwords)
    assert elsewhere.get(reverse("home")).status_code == 302
    assert not ApiToken.objects.exists()
    assert log_in(Client(), "alice", NEW_PASSWORD).status_code == 302
    assert "Bad Token" in Client().get(link, follow=True).content.decode()


def test_a_password_set_by_command_ends_tokens_too():
    alice = make_user("alice")
    make_token(alice)
    with patch("getpass.getpass", return_value=NEW_PASSWORD):
        call_command("changepassword", "alice", stdout=open("/dev/null", "w"))  # noqa: SIM115
    assert not ApiToken.objects.exists()


def test_the_pages_of_the_second_factor_are_there_with_the_setting_only(client, settings):
    client.force_login(make_user())
    address = reverse("mfa_index")
    assert address not in client.get(reverse("accounts:profile")).content.decode()
    settings.MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
    assert address in client.get(reverse("accounts:profile")).content.decode()


def test_a_new_address_counts_once_it_is_confirmed(client):
    alice = make_user("alice")
    log_in(client, "alice")
    confirm_password(client)
    client.post(reverse("account_email"), {"email": "new@example.com", "action_add": ""})
    alice.refresh_from_db()
    assert alice.email == "alice@example.com"
    link = re.search(r"http://testserver(\S+)", str(mail.outbox[-1].body)).group(1)
    client.post(link)
    alice.refresh_from_db()
    assert alice.email == "new@example.com"


def test_before_the_address_changes_the_password_is_asked_for(client):
    make_user("alice")
    log_in(client, "alice")
    response = client.post(reverse("account_email"), {"email": "new@example.com", "action_add": ""})
    assert response["Location"].startswith(reverse("account_reauthenticate"))
    assert not mail.outbox


def test_an_address_of_somebody_else_is_never_taken_over(client):
    make_user("alice")
    bob = make_user("bob")
    log_in(client, "bob")
    confirm_password(client)
    client.post(reverse("account_email"), {"email": "alice@example.com", "action_add": ""})
    for letter in mail.outbox:
        if found := re.search(r"http://testserver(/account/confirm-email\S+)", str(letter.body)):
            assert client.post(found.group(1)).status_code < 500
    bob.refresh_from_db()
    assert bob.email == "bob@example.com"


def test_the_profile_keeps_name_and_language(client):
    alice = make_user("alice")
    client.force_login(alice)
    response = client.post(
        reverse("accounts:profile"), {"first_name": "Alice", "last_name": "", "language": "fr"}
    )
    assert response.cookies["django_language"].value == "fr"
    alice = User.objects.get(pk=alice.pk)
    assert (alice.first_name, alice.language) == ("Alice", "fr")
    assert client.post(reverse("accounts:profile"), {"language": "xx"}).status_code == 200
    assert User.objects.get(pk=alice.pk).language == "fr"


def test_a_profile_cannot_make_somebody_a_superuser(client):
    alice = make_user("alice")
    client.force_login(alice)
    client.post(
        reverse("accounts:profile"),
        {"is_superuser": "on", "username": "root", "email": "x@example.com"},
    )
    alice = User.objects.get(pk=alice.pk)
    assert (alice.is_superuser, alice.username, alice.email) == (
        False,
        "alice",
        "alice@example.com",
    )

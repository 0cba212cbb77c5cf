"""Nobody gets in who was not invited; an invitation works once, for one address, for some days."""

from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from accounts import emails, invitations, roles
from accounts.models import Invitation, User, token_digest
from accounts.roles import Role
from accounts.tests.factories import make_invitation, make_maintainer, make_user
from common.errors import Conflict, InvalidInput

pytestmark = pytest.mark.django_db

SIGNUP = {
    "username": "newcomer",
    "password1": "a long enough phrase",
    "password2": "a long enough phrase",
}


def test_sign_up_is_closed_to_somebody_without_an_invitation(client):
    assert (
        "open the link in your invitation" in client.get(reverse("account_signup")).content.decode()
    )
    client.post(reverse("account_signup"), {**SIGNUP, "email": "stranger@example.com"})
    assert not User.objects.filter(username="newcomer").exists()


def test_an_invitation_leads_to_an_account_with_its_role_and_address(client):
    invitation, token = make_invitation("new@example.com", Role.REVIEWER)
    response = client.get(reverse("accounts:invitation", args=[token]), follow=True)
    assert "new@example.com" in response.content.decode()
    client.post(reverse("account_signup"), {**SIGNUP, "email": "other@example.com"})
    user = User.objects.get(username="newcomer")
    assert user.email == "new@example.com", "the invited address counts, not the one that was sent"
    assert roles.role_of(user) == Role.REVIEWER
    assert EmailAddress.objects.get(user=user).verified
    assert client.get(reverse("home")).status_code == 200, "signed up is logged in"
    invitation.refresh_from_db()
    assert invitation.accepted_at


def test_an_invitation_works_once(client, django_user_model):
    _invitation, token = make_invitation()
    client.get(reverse("accounts:invitation", args=[token]))
    client.post(reverse("account_signup"), SIGNUP)
    client.logout()
    response = client.get(reverse("accounts:invitation", args=[token]))
    assert response.status_code == 404
    assert "no longer valid" in response.content.decode()


def test_an_invitation_that_two_browsers_opened_makes_one_account(client, django_user_model):
    from django.test import Client

    _invitation, token = make_invitation()
    other = Client()
    client.get(reverse("accounts:invitation", args=[token]))
    other.get(reverse("accounts:invitation", args=[token]))
    client.post(reverse("account_signup"), SIGNUP)
    other.post(reverse("account_signup"), {**SIGNUP, "username": "second"})
    assert User.objects.filter(username="newcomer").exists()
    assert not User.objects.filter(username="second").exists()


def test_accepting_a_used_invitation_is_refused():
    invitation, _token = make_invitation()
    invitations.accept(invitation, make_user())
    with pytest.raises(Conflict):
        invitations.accept(invitation, make_user())


@pytest.mark.parametrize("token", ["wrong", "../../x", "é" * 40])
def test_a_wrong_token_opens_nothing(client, token):
    assert client.get(f"/account/invitation/{token}/").status_code == 404
    assert "open the link" in client.get(reverse("account_signup")).content.decode()


def test_an_expired_invitation_opens_nothing(client):
    invitation, token = make_invitation()
    Invitation.objects.filter(pk=invitation.pk).update(
        expires_at=timezone.now() - timedelta(seconds=1)
    )
    assert client.get(reverse("accounts:invitation", args=[token])).status_code == 404


def test_an_invitation_revoked_after_the_link_was_opened_opens_nothing(client):
    invitation, token = make_invitation()
    client.get(reverse("accounts:invitation", args=[token]))
    invitations.revoke(invitation)
    client.post(reverse("account_signup"), SIGNUP)
    assert not User.objects.filter(username="newcomer").exists()


def test_only_the_digest_of_a_token_is_stored():
    invitation, token = make_invitation()
    assert token not in str(Invitation.objects.values().get())
    assert invitation.token_digest == token_digest(token)


def test_the_token_leaves_the_address_bar(client):
    _invitation, token = make_invitation()
    response = client.get(reverse("accounts:invitation", args=[token]))
    assert response.status_code == 302
    assert token not in response["Location"]


def test_a_logged_in_user_is_asked_to_log_out_first(client):
    _invitation, token = make_invitation()
    client.force_login(make_user("alice"))
    response = client.get(reverse("accounts:invitation", args=[token]))
    assert response.status_code == 409
    assert "alice" in response.content.decode()


def test_inviting_an_address_again_ends_the_earlier_link():
    maintainer = make_maintainer()
    _first, token = make_invitation("new@example.com", by=maintainer)
    _second, newer = make_invitation("New@Example.com", by=maintainer)
    assert invitations.find_by_token(token) is None
    assert invitations.find_by_token(newer)


def test_who_has_an_account_cannot_be_invited():
    make_user("alice", email="alice@example.com")
    with pytest.raises(Conflict, match="exists already"):
        make_invitation("ALICE@example.com")


def test_what_is_no_address_cannot_be_invited():
    with pytest.raises(InvalidInput, match="not an e-mail address"):
        make_invitation("alice")


def test_a_maintainer_invites_by_mail_and_sees_the_link_once(client):
    client.force_login(make_maintainer())
    response = client.post(
        reverse("accounts:invite"), {"email": "new@example.com", "role": "reviewer"}
    )
    [letter] = mail.outbox
    assert letter.to == ["new@example.com"]
    link = next(line for line in letter.body.splitlines() if line.startswith("http"))
    assert link in response.content.decode()
    assert "no-store" in response["Cache-Control"]
    assert link not in client.get(reverse("accounts:users")).content.decode()


def test_without_a_mail_server_nobody_is_told_that_a_mail_is_on_its_way(client, settings):
    settings.EMAIL_BACKEND = emails.CONSOLE
    client.force_login(make_maintainer())
    response = client.post(reverse("accounts:invite"), {"email": "new@example.com", "role": "user"})
    assert "No mail went to new@example.com" in response.content.decode()


def test_a_mail_server_that_is_down_is_told_and_the_link_still_shown(client, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    client.force_login(make_maintainer())
    response = client.post(reverse("accounts:invite"), {"email": "new@example.com", "role": "user"})
    assert response.status_code == 200
    assert "No mail went to" in response.content.decode()
    assert "/account/invitation/" in response.content.decode()


def test_a_nonsense_role_or_address_is_refused(client):
    client.force_login(make_maintainer())
    for data in ({"email": "x", "role": "user"}, {"email": "new@example.com", "role": "king"}):
        assert client.post(reverse("accounts:invite"), data).status_code == 400
    assert not Invitation.objects.exists()


def test_open_invitations_are_listed_sent_again_and_revoked(client):
    maintainer = make_maintainer()
    invitation, token = make_invitation("new@example.com", by=maintainer)
    client.force_login(maintainer)
    assert "new@example.com" in client.get(reverse("accounts:users")).content.decode()
    client.post(reverse("accounts:resend_invitation", args=[invitation.pk]))
    assert len(mail.outbox) == 1
    assert invitations.find_by_token(token) is None
    newer = Invitation.objects.get()
    client.post(reverse("accounts:revoke_invitation", args=[newer.pk]))
    assert not Invitation.objects.exists()


@pytest.mark.parametrize("role", [Role.USER, Role.REVIEWER])
def test_only_maintainers_invite(client, role):
    client.force_login(make_user(role=role))
    response = client.post(
        reverse("accounts:invite"), {"email": "new@example.com", "role": "maintainer"}
    )
    assert response.status_code == 403
    assert not Invitation.objects.exists()


def test_open_sign_up_gives_the_least_role_after_the_address_is_confirmed(client, settings):
    settings.SIGNUP_OPEN = True
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    client.post(reverse("account_signup"), {**SIGNUP, "email": "new@example.com"})
    user = User.objects.get(username="newcomer")
    assert roles.role_of(user) == Role.USER
    assert client.get(reverse("home")).status_code == 302, "the address is not confirmed yet"
    assert len(mail.outbox) == 1

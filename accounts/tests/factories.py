"""A small cast: users of every role."""

from itertools import count

from django.test import Client
from django.urls import reverse

from accounts import invitations, roles, tokens
from accounts.models import Invitation, User
from accounts.roles import Role

PASSWORD = "correct horse battery"
_numbers = count(1)


def make_user(
    username: str = "", role: Role = Role.USER, *, password: str = PASSWORD, **fields
) -> User:
    username = username or f"user{next(_numbers)}"
    fields.setdefault("email", f"{username}@example.com")
    user = User.objects.create_user(username, password=password, **fields)
    roles.assign_role(user, role)
    return user


def make_reviewer(username: str = "", **fields) -> User:
    return make_user(username or f"reviewer{next(_numbers)}", Role.REVIEWER, **fields)


def make_maintainer(username: str = "", **fields) -> User:
    return make_user(username or f"maintainer{next(_numbers)}", Role.MAINTAINER, **fields)


def confirm_password(client: Client) -> None:
    """Give the password again, as pages ask for it that matter beyond the session."""
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})


def make_token(user: User, name: str = "my script") -> str:
    return tokens.create_token(user, name=name)[1]


def make_invitation(
    email: str = "new@example.com", role: Role = Role.USER, *, by: User | None = None
) -> tuple[Invitation, str]:
    return invitations.invite(email, role, by=by or make_maintainer())

"""Who is at the door: a user name or an e-mail address, and a password."""

from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.internal.userkit import filter_users_by_email, get_user_by_username
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest


class NameOrEmailBackend(AuthenticationBackend):
    """Find at most one user, then check exactly one password: nobody can tell by the clock who exists."""

    def _authenticate(self, request: HttpRequest | None, **credentials: str) -> AbstractBaseUser | None:
        login = credentials.get("username") or credentials.get("email") or ""
        user = get_user_by_username(login) or next(
            iter(filter_users_by_email(login, prefer_verified=True, for_login=True)), None
        )
        return self._check_password(user, credentials["password"])

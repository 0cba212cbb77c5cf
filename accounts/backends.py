"""Log-in by user name or e-mail address, and password."""

from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.internal.userkit import filter_users_by_email, get_user_by_username
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db.models import Model
from django.http import HttpRequest

from accounts import queries
from accounts.models import User


class UsernameOrEmailBackend(AuthenticationBackend):
    """Finds at most one user and checks exactly one password, so that timing tells nothing."""

    def get_all_permissions(
        self, user_obj: AbstractBaseUser | AnonymousUser, obj: Model | None = None
    ) -> set[str]:
        """Return a user's permissions like Django does, but in one query for a request.

        Where a request is about one project, these are the rights in it (see `User.rights_here`).
        """
        if (
            not isinstance(user_obj, User)
            or not user_obj.is_active
            or user_obj.is_superuser
            or obj is not None
        ):
            return super().get_all_permissions(user_obj, obj)
        if user_obj.rights_here is not None:
            return user_obj.rights_here
        return queries.site_permissions(user_obj)

    def _authenticate(
        self, request: HttpRequest | None, **credentials: str
    ) -> AbstractBaseUser | None:
        login = credentials.get("username") or credentials.get("email") or ""
        user = get_user_by_username(login) or next(
            iter(filter_users_by_email(login, prefer_verified=True, for_login=True)), None
        )
        # Without a user the caller hashes a password all the same, which takes as long
        return self._check_password(user, credentials["password"])

"""Who is at the door: a user name or an e-mail address, and a password."""

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.internal.userkit import filter_users_by_email, get_user_by_username
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, Permission
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from accounts.models import User
from common.prepared import Prepared

_permissions = Prepared(lambda user, member: _named(user=user).union(_named(group__user=member)))


class UsernameOrEmailBackend(AuthenticationBackend):
    """Find at most one user, then check exactly one password: nobody can tell by the clock who
    exists.
    """

    def get_all_permissions(
        self, user_obj: AbstractBaseUser | AnonymousUser, obj: Model | None = None
    ) -> set[str]:
        """Return one's own permissions and those of one's groups, as Django does, but in one query
        for each request.
        """
        if (
            not isinstance(user_obj, User)
            or not user_obj.is_active
            or user_obj.is_superuser
            or obj is not None
        ):
            return super().get_all_permissions(user_obj, obj)
        if not hasattr(user_obj, "_perm_cache"):
            found = _permissions.rows(user_obj.pk, user_obj.pk)
            user_obj._perm_cache = {f"{app}.{codename}" for app, codename in found}  # type: ignore[attr-defined]
        return user_obj._perm_cache  # type: ignore[attr-defined]

    def _authenticate(
        self, request: HttpRequest | None, **credentials: str
    ) -> AbstractBaseUser | None:
        login = credentials.get("username") or credentials.get("email") or ""
        user = get_user_by_username(login) or next(
            iter(filter_users_by_email(login, prefer_verified=True, for_login=True)), None
        )
        return self._check_password(user, credentials["password"])


def _named(**whose: Any) -> QuerySet[Permission, tuple[str, str]]:
    return (
        Permission.objects.filter(**whose)
        .order_by()
        .values_list("content_type__app_label", "codename")
    )

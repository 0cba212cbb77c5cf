"""Guards for views behind a log-in."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest

from accounts.models import User

View = TypeVar("View", bound=Callable[..., Any])


def may(permission: str) -> Callable[[View], View]:
    """Require a permission (see `accounts.roles`) for a view.

    Visitors are sent to the log-in page. Users without the permission get a 403, since logging in
    again would not help them.
    """

    def guard(view: View) -> View:
        return login_required(permission_required(permission, raise_exception=True)(view))

    return guard


def authenticated_user(request: HttpRequest) -> User:
    """Return the logged-in user; only for views that require a log-in."""
    return cast(User, request.user)

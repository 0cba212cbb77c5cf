"""The user of a request, for views behind a log-in."""

from typing import cast

from django.http import HttpRequest

from accounts.models import User


def authenticated_user(request: HttpRequest) -> User:
    """Return the logged-in user; only for views that demand a log-in."""
    return cast(User, request.user)

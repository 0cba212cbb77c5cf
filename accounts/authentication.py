"""API tokens, as `Authorization: Token ...`."""

import binascii
from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from rest_framework.exceptions import AuthenticationFailed

from accounts import queries
from accounts.models import ApiToken, User

NOTE_USE_EVERY = timedelta(hours=1)


class ApiTokenAuthentication(TokenAuthentication):
    """Authenticates a token in one query, and notes roughly when it was last used."""

    def authenticate_credentials(self, token: bytes) -> tuple[User, ApiToken]:
        """Return the owner and the token.

        Raises:
            AuthenticationFailed: if there is no such token, it has expired, or its owner is
                deactivated.
        """
        try:
            digest = hash_token(token.decode("ascii"))
        except (UnicodeDecodeError, binascii.Error) as error:
            raise _refusal() from error
        found = queries.find_token(digest)
        now = timezone.now()
        if found is None or (found.expiry and found.expiry <= now):
            raise _refusal()
        # Not at every request: that would be a write for each read, and nobody needs the minute
        if found.last_used_at is None or now - found.last_used_at > NOTE_USE_EVERY:
            ApiToken.objects.filter(pk=found.pk).update(last_used_at=now)
        return found.user, found


def _refusal() -> AuthenticationFailed:
    return AuthenticationFailed(
        _("This token is not valid. Create a new one on your account page.")
    )


class ApiTokenScheme(KnoxTokenScheme):
    target_class = "accounts.authentication.ApiTokenAuthentication"
    name = "token"

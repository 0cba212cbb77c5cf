"""The invitation of a visitor, whose token is kept in the session until sign-up."""

from allauth.account.adapter import get_adapter
from django.http import HttpRequest

from accounts import invitations
from accounts.models import Invitation

SESSION_KEY = "invitation_token"


def store_invitation_token(request: HttpRequest, token: str, invitation: Invitation) -> None:
    """Keep the token for sign-up, and count its address as confirmed."""
    # Whoever has the token has read a mail to that address
    request.session[SESSION_KEY] = token
    get_adapter().stash_verified_email(request, invitation.email)


def session_invitation(request: HttpRequest | None) -> Invitation | None:
    """Return the open invitation of this visitor, if any."""
    if request is None:
        return None
    return invitations.find_by_token(request.session.get(SESSION_KEY, ""))


def clear_invitation_token(request: HttpRequest) -> None:
    request.session.pop(SESSION_KEY, None)

"""Invitations, the only way in while sign-up is closed: one address, one role, one use."""

from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import roles
from accounts.models import Invitation, User, generate_token, token_digest
from accounts.roles import Role
from common.errors import Conflict, InvalidInput
from common.names import comparison_key


@transaction.atomic
def invite(email: str, role: Role, *, by: User) -> tuple[Invitation, str]:
    """Create an invitation, replacing an earlier one to the same address; return it and its token.

    The token is returned and stored nowhere: the caller has to send it.

    Raises:
        InvalidInput: if this is no e-mail address.
        Conflict: if a user has this address already.
    """
    # Lower case, like the addresses of users, so that they can be compared
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError as error:
        message = _(
            "%(email)s is not an e-mail address. An address looks like name@example.com."
        ) % {"email": email}
        raise InvalidInput(message, fields={"email": [message]}) from error
    if User.objects.filter(email_key=comparison_key(email)).exists():
        raise Conflict(_("A user with the address %(email)s exists already.") % {"email": email})
    Invitation.objects.filter(email=email, accepted_at=None).delete()
    token = generate_token()
    invitation = Invitation.objects.create(
        email=email,
        role=role,
        token_digest=token_digest(token),
        invited_by=by,
        expires_at=timezone.now() + timedelta(days=settings.INVITATION_DAYS),
    )
    return invitation, token


def reissue(invitation: Invitation, *, by: User) -> tuple[Invitation, str]:
    """Create the invitation again with a new token; the old link becomes invalid."""
    return invite(invitation.email, Role(invitation.role), by=by)


def revoke(invitation: Invitation) -> None:
    """Delete an invitation; its link becomes invalid at once."""
    Invitation.objects.filter(pk=invitation.pk, accepted_at=None).delete()


def find_by_token(token: str) -> Invitation | None:
    """Return the open invitation with this token, if there is one."""
    return Invitation.objects.open().with_token(token).first() if token else None


def find_by_email(email: str) -> Invitation | None:
    """Return the open invitation to this address, if there is one."""
    return Invitation.objects.open().filter(email__iexact=email).first() if email else None


def accept(invitation: Invitation, user: User) -> None:
    """Mark the invitation as used, and give the new user its role.

    Raises:
        Conflict: if it was used, revoked or has expired in the meantime.
    """
    # The UPDATE decides: of two sign-ups with one invitation the second changes no row
    used = Invitation.objects.open().filter(pk=invitation.pk).update(accepted_at=timezone.now())
    if not used:
        raise Conflict(
            _("This invitation is no longer valid. Ask the person who invited you for a new one.")
        )
    roles.assign_role(user, Role(invitation.role))

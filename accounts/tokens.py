"""Creating and revoking API tokens."""

from django.utils.translation import gettext as _

from accounts.models import ApiToken, User
from common.errors import Conflict, InvalidInput, NotFound

MAX_PER_USER = 20


def create_token(user: User, *, name: str) -> tuple[ApiToken, str]:
    """Create a token; its text is returned and stored nowhere.

    Raises:
        Conflict: if the user has as many tokens as one may have, or is inactive.
        InvalidInput: if the name is empty or too long.
    """
    # The name is all that tells a token from others once its text is gone
    name = " ".join(name.split())
    if not name or len(name) > 100:
        message = _(
            "Give the token a name of at most 100 characters, so that you can recognise it later."
        )
        raise InvalidInput(message, fields={"name": [message]})
    if not user.is_active:
        raise Conflict(
            _("%(user)s is deactivated. Reactivate the user first.") % {"user": user.get_username()}
        )
    if ApiToken.objects.filter(user=user).count() >= MAX_PER_USER:
        raise Conflict(
            _("You have %(number)s tokens. Revoke one that you do not need.")
            % {"number": MAX_PER_USER}
        )
    token, text = ApiToken.objects.create(user, name=name)
    return token, text


def revoke_token(user: User, token_key: str) -> ApiToken:
    """Revoke one of the user's tokens.

    Raises:
        NotFound: if the user has no such token.
    """
    token = ApiToken.objects.filter(user=user, token_key=token_key).first()
    if token is None:
        raise NotFound(_("There is no such token; it may have been revoked already."))
    token.delete()
    return token

"""The mails that allauth does not send."""

import logging
from smtplib import SMTPException

from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from accounts.models import Invitation

logger = logging.getLogger(__name__)


def send_invitation(invitation: Invitation, link: str) -> bool:
    """Mail the link of an invitation; return False if the mail server does not accept it."""
    text = render_to_string("accounts/invitation.txt", {"invitation": invitation, "link": link})
    try:
        send_mail("[Classifr] " + _("You are invited"), text, None, [invitation.email])
    except (SMTPException, OSError) as error:
        # Not raised: the page shows the link as well, and says that no mail was sent
        logger.error("invitation %s could not be mailed: %s", invitation.pk, error)
        return False
    return True

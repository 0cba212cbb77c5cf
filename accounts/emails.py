"""The mails that allauth does not send."""

import logging
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from accounts.models import Invitation

logger = logging.getLogger(__name__)

CONSOLE = "django.core.mail.backends.console.EmailBackend"


def send_invitation(invitation: Invitation, link: str) -> bool:
    """Mail the link of an invitation; return False if no mail went out."""
    if settings.EMAIL_BACKEND == CONSOLE:
        logger.warning("EMAIL_URL is not set, so invitation %s was not mailed", invitation.pk)
        return False
    text = render_to_string("accounts/invitation.txt", {"invitation": invitation, "link": link})
    try:
        send_mail("[Classifr] " + _("You are invited"), text, None, [invitation.email])
    except (SMTPException, OSError) as error:
        # Not raised: the page shows the link as well, and says that no mail was sent
        logger.error("invitation %s could not be mailed: %s", invitation.pk, error)
        return False
    return True

"""How allauth decides who may sign up: only those who were invited."""

import logging
from smtplib import SMTPException
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from django.conf import settings
from django.contrib import messages
from django.db import IntegrityError, transaction
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import directory_groups, invitations, roles, session_invitation
from accounts.models import Invitation, User
from accounts.roles import Role
from common.errors import Unavailable
from common.names import comparison_key

logger = logging.getLogger(__name__)


class InvitedOnlyAdapter(DefaultAccountAdapter):
    """Sign-up for those who hold an invitation, or for everybody with SIGNUP_OPEN."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return settings.SIGNUP_OPEN or session_invitation.session_invitation(request) is not None

    def clean_username(self, username: str, shallow: bool = False) -> str:
        """Refuse a name that reads like another user's; on SQLite allauth compares ASCII alone."""
        username = super().clean_username(username, shallow=shallow)
        if not shallow and User.objects.filter(username_key=comparison_key(username)).exists():
            raise self.validation_error("username_taken")
        return username

    def save_user(
        self, request: HttpRequest, user: User, form: BaseForm, commit: bool = True
    ) -> User:
        if not commit:
            return super().save_user(request, user, form, commit=False)
        # Together: an invitation that was used in the meantime must leave no user behind
        with transaction.atomic():
            user = super().save_user(request, user, form)
            apply_invitation(user, session_invitation.session_invitation(request))
        session_invitation.clear_invitation_token(request)
        return user

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send a mail. Raises Unavailable, whether or not the address is one of a user."""
        try:
            super().send_mail(template_prefix, email, context)
        except (SMTPException, OSError) as error:
            logger.error("mail %s could not be sent: %s", template_prefix, error)
            raise Unavailable(
                _("The e-mail could not be sent. Please try again in a few minutes.")
            ) from error

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """Confirm a new address, unless somebody else has confirmed it in the meantime."""
        # Addresses are unique among users, and the constraint decides between two at once
        try:
            with transaction.atomic():
                return super().confirm_email(request, email_address)
        except IntegrityError:
            self.add_message(
                request, messages.ERROR, message=_("You cannot use this address for your account.")
            )
            return False

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("accounts:profile")

    def pre_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse | None:
        """Confirm an address that only an administrator can have set, as by `createsuperuser`."""
        # Those that users enter have a row from the start, and allauth waits for their confirmation
        if user.email and not EmailAddress.objects.filter(user=user).exists():
            address = EmailAddress(user=user, email=user.email.lower(), verified=True, primary=True)
            EmailAddress.objects.bulk_create([address], ignore_conflicts=True)
        return super().pre_login(request, user, **kwargs)

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        if login := (kwargs.get("signal_kwargs") or {}).get("sociallogin"):
            directory_groups.apply_groups(user, login.account.extra_data)
        response = super().post_login(request, user, **kwargs)
        # Django reads the language of a request from this cookie
        if user.language:
            response.set_cookie(
                settings.LANGUAGE_COOKIE_NAME,
                user.language,
                path=settings.LANGUAGE_COOKIE_PATH,
                samesite="Lax",
            )
        return response


class InvitedOnlySocialAdapter(DefaultSocialAccountAdapter):
    """The same by OpenID Connect: the provider must vouch for an address that was invited."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return settings.SIGNUP_OPEN or _invitation_for(request, sociallogin) is not None

    def save_user(
        self, request: HttpRequest, sociallogin: SocialLogin, form: BaseForm | None = None
    ) -> User:
        with transaction.atomic():
            invitation = _invitation_for(request, sociallogin)
            user = super().save_user(request, sociallogin, form)
            # With a form, allauth calls the adapter above as well, which does it
            if form is None:
                apply_invitation(user, invitation)
        session_invitation.clear_invitation_token(request)
        return user


def apply_invitation(user: User, invitation: Invitation | None) -> None:
    """Give a new user the role of the invitation, or that of a plain user if sign-up is open."""
    if invitation:
        invitations.accept(invitation, user)
    else:
        roles.assign_role(user, Role.USER)


def _invitation_for(request: HttpRequest, sociallogin: SocialLogin) -> Invitation | None:
    """Return the invitation that somebody with these addresses may use.

    Either the provider vouches for the address, or the visitor came by the link that was mailed to
    it.
    """
    brought = session_invitation.session_invitation(request)
    for address in sociallogin.email_addresses:
        if brought and brought.email.lower() == address.email.lower():
            return brought
        if address.verified and (invitation := invitations.find_by_email(address.email)):
            return invitation
    return None

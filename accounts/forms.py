"""What people fill in about themselves and others."""

from typing import Any, ClassVar

from allauth.account.forms import LoginForm as AllauthLoginForm
from allauth.account.forms import SignupForm as AllauthSignupForm
from allauth.core import context
from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts import session_invitation
from accounts.models import User
from accounts.roles import Role

ROLE_NAMES = [
    (Role.USER, _("User")),
    (Role.REVIEWER, _("Reviewer")),
    (Role.MAINTAINER, _("Maintainer")),
]


class LoginForm(AllauthLoginForm):
    """Log-in, with a label that says what to type in: allauth's is just “Login”."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = _("Username or email")


class SignupForm(AllauthSignupForm):
    """Sign-up; the address of somebody invited is the one that the invitation was sent to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if invitation := session_invitation.session_invitation(context.request):
            self.fields["email"].initial = invitation.email
            # Disabled fields take the initial value, whatever is posted
            self.fields["email"].disabled = True
            self.fields["email"].help_text = _("The invitation was sent to this address.")


class ProfileForm(forms.ModelForm):
    language = forms.ChoiceField(label=_("Language"), required=False)

    class Meta:
        model = User
        fields: ClassVar = ["first_name", "last_name", "language"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["language"].choices = [("", _("Browser default")), *settings.LANGUAGES]  # type: ignore[attr-defined]


class TokenForm(forms.Form):
    name = forms.CharField(label=_("What is the token for?"), max_length=100)


class InvitationForm(forms.Form):
    email = forms.EmailField(label=_("E-mail address"), max_length=254)
    role = forms.ChoiceField(label=_("Role"), choices=ROLE_NAMES)


class RoleForm(forms.Form):
    role = forms.ChoiceField(label=_("Role"), choices=ROLE_NAMES)

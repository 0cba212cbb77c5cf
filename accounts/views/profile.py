"""A user's own page with profile and API tokens, and the page for accepting an invitation."""

from allauth.account.decorators import reauthentication_required
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import invitations, roles, session_invitation, tokens
from accounts.forms import ProfileForm, TokenForm
from accounts.models import ApiToken, User
from accounts.permissions import authenticated_user
from common.htmx import HtmxRequest


@login_required
@require_http_methods(["GET", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """Show and change the user's profile."""
    # Another object than the request's: the page's header must not show what was not saved
    user = User.objects.get(pk=authenticated_user(request).pk)
    form = ProfileForm(request.POST or None, instance=user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Your profile is saved."))
        response = redirect("accounts:profile")
        # Django reads the language of a request from the cookie, not from the user
        if user.language:
            response.set_cookie(
                settings.LANGUAGE_COOKIE_NAME,
                user.language,
                path=settings.LANGUAGE_COOKIE_PATH,
                samesite="Lax",
            )
        else:
            response.delete_cookie(
                settings.LANGUAGE_COOKIE_NAME, path=settings.LANGUAGE_COOKIE_PATH
            )
        return response
    return render(request, "accounts/profile.html", {"form": form, **_about_tokens(request)})


@login_required
@never_cache
@require_POST
@reauthentication_required
def create_token(request: HtmxRequest) -> HttpResponse:
    """Create an API token and show its text, just this once.

    A token outlives the session, so the password is asked for; then the request goes on.
    """
    form = TokenForm(request.POST)
    token, text = None, ""
    if form.is_valid():
        token, text = tokens.create_token(
            authenticated_user(request), name=form.cleaned_data["name"]
        )
        form = TokenForm()
    context = {
        **_about_tokens(request),
        "token_form": form,
        "new_token": token,
        "new_token_text": text,
    }
    return _tokens(request, context)


@login_required
@require_POST
def revoke_token(request: HtmxRequest, token_key: str) -> HttpResponse:
    token = tokens.revoke_token(authenticated_user(request), token_key)
    messages.success(request, _("The token “%(name)s” is revoked.") % {"name": token.name})
    if request.htmx:
        return _tokens(request, _about_tokens(request))
    return redirect("accounts:profile")


def _about_tokens(request: HttpRequest) -> dict[str, object]:
    user = authenticated_user(request)
    return {
        "role": roles.role_of(user),
        "tokens": ApiToken.objects.filter(user=user),
        "token_form": TokenForm(),
        "mfa_offered": bool(settings.MFA_SUPPORTED_TYPES),
        "oidc_offered": bool(settings.OIDC_SERVER_URL),
    }


def _tokens(request: HtmxRequest, context: dict[str, object]) -> HttpResponse:
    if request.htmx:
        return render(request, "accounts/_tokens.html", context)
    return render(
        request,
        "accounts/profile.html",
        {"form": ProfileForm(instance=authenticated_user(request)), **context},
    )


@never_cache
@require_GET
def accept_invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Send a visitor with a valid link to sign-up."""
    invitation = invitations.find_by_token(token)
    if invitation is None:
        return render(request, "accounts/invitation_invalid.html", status=404)
    if request.user.is_authenticated:
        return render(
            request, "accounts/invitation_logged_in.html", {"invitation": invitation}, status=409
        )
    # The token goes into the session, as an address is logged and sent on as the referrer
    session_invitation.store_invitation_token(request, token, invitation)
    return redirect("account_signup")

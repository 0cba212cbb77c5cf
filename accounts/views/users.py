"""The page for managing users and invitations; for maintainers."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts import emails, invitations, roles, user_admin
from accounts.forms import ROLE_NAMES, InvitationForm, RoleForm
from accounts.models import Invitation, User
from accounts.permissions import authenticated_user, may
from accounts.roles import Role
from common.errors import InvalidInput


@may(roles.INVITE)
@require_GET
def user_list(request: HttpRequest) -> HttpResponse:
    """List users, a page at a time, with a search; and the open invitations."""
    return render(request, "accounts/users.html", _about_users(request))


@may(roles.INVITE)
@require_POST
def change_role(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(User, pk=pk)
    form = RoleForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(_("Choose one of the roles user, reviewer and maintainer."))
    user_admin.change_role(user, Role(form.cleaned_data["role"]), by=authenticated_user(request))
    messages.success(request, _("The role of %(user)s is changed.") % {"user": user.get_username()})
    return _back_to_users(request)


@may(roles.INVITE)
@require_POST
def deactivate(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(User, pk=pk)
    user_admin.deactivate(user, by=authenticated_user(request))
    messages.success(
        request,
        _("%(user)s is deactivated: sessions have ended and API tokens are revoked.")
        % {"user": user.get_username()},
    )
    return _back_to_users(request)


@may(roles.INVITE)
@require_POST
def reactivate(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(User, pk=pk)
    user_admin.reactivate(user, by=authenticated_user(request))
    messages.success(request, _("%(user)s may log in again.") % {"user": user.get_username()})
    return _back_to_users(request)


@may(roles.INVITE)
@never_cache
@require_POST
def invite_user(request: HttpRequest) -> HttpResponse:
    """Send an invitation, and show its link just this once, as mail may be slow or fail."""
    form = InvitationForm(request.POST)
    if not form.is_valid():
        return render(
            request,
            "accounts/users.html",
            {**_about_users(request), "invitation_form": form},
            status=400,
        )
    role = Role(form.cleaned_data["role"])
    return _send(
        request,
        *invitations.invite(form.cleaned_data["email"], role, by=authenticated_user(request)),
    )


@may(roles.INVITE)
@never_cache
@require_POST
def resend_invitation(request: HttpRequest, pk: int) -> HttpResponse:
    invitation = get_object_or_404(Invitation, pk=pk, accepted_at=None)
    return _send(request, *invitations.reissue(invitation, by=authenticated_user(request)))


@may(roles.INVITE)
@require_POST
def revoke_invitation(request: HttpRequest, pk: int) -> HttpResponse:
    invitation = get_object_or_404(Invitation, pk=pk, accepted_at=None)
    invitations.revoke(invitation)
    messages.success(
        request, _("The invitation to %(email)s is revoked.") % {"email": invitation.email}
    )
    return _back_to_users(request)


def _send(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    link = request.build_absolute_uri(reverse("accounts:invitation", args=[token]))
    sent = emails.send_invitation(invitation, link)
    context = {"new_invitation": invitation, "link": link, "sent": sent}
    return render(request, "accounts/users.html", {**_about_users(request), **context})


def _about_users(request: HttpRequest) -> dict[str, object]:
    search, after = request.GET.get("search", "").strip(), request.GET.get("after", "")
    page = user_admin.list_users(search=search, after=after)
    for user in page.rows:
        # The groups are prefetched: asking `roles.role_of` would be a query for each user.
        roles = (group.name for group in user.groups.all() if group.name in list(Role))
        user.role = next(roles, "")  # type: ignore[attr-defined]
    return {
        "page": page,
        "search": search,
        "after": after,
        "role_names": ROLE_NAMES,
        "invitations": Invitation.objects.filter(accepted_at=None).select_related("invited_by"),
        "invitation_form": InvitationForm(),
    }


def _back_to_users(request: HttpRequest) -> HttpResponse:
    return redirect("accounts:users")

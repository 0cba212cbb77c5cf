"""The pages on which a user reads notifications, and says which to get where."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.permissions import authenticated_user
from common.numbers import natural_number
from common.pagination import keyset_page
from notifications import preferences
from notifications.models import Notification
from notifications.preferences import Channels

PAGE_SIZE = 50


@login_required
@require_safe
def notifications(request: HttpRequest) -> HttpResponse:
    """List a user's notifications, the newest first."""
    rows = Notification.objects.visible_to(authenticated_user(request)).select_related("project")
    page = keyset_page(rows, after=natural_number(request.GET.get("before", "")), size=PAGE_SIZE)
    return render(
        request, "notifications/list.html", {"page": page, "is_later": "before" in request.GET}
    )


@login_required
@require_POST
def open_notification(request: HttpRequest, pk: int) -> HttpResponse:
    """Mark a notification of one's own as read, and go to the page that it is about."""
    own = Notification.objects.visible_to(authenticated_user(request))
    notification = get_object_or_404(own, pk=pk)
    own.filter(pk=pk, read_at=None).update(read_at=timezone.now())
    return redirect(notification.url)


@login_required
@require_POST
def read_all(request: HttpRequest) -> HttpResponse:
    """Mark all of one's own notifications as read."""
    own = Notification.objects.visible_to(authenticated_user(request))
    own.filter(read_at=None).update(read_at=timezone.now())
    return redirect("notifications:list")


@login_required
@require_http_methods(["GET", "POST"])
def choose(request: HttpRequest) -> HttpResponse:
    """Say which kinds of notification to get, and where."""
    user = authenticated_user(request)
    kinds = preferences.offered_kinds(user)
    if request.method == "POST":
        wanted = {
            kind: Channels(f"page-{kind}" in request.POST, f"mail-{kind}" in request.POST)
            for kind in kinds
        }
        preferences.save_preferences(user, wanted)
        messages.success(request, _("It is saved what you are told of."))
        return redirect("notifications:choose")
    chosen = preferences.preferences_of(user)
    rows = [{"kind": kind, "channels": chosen[kind]} for kind in kinds]
    return render(request, "notifications/choose.html", {"rows": rows})

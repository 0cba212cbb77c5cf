"""The page with a project's members, for its maintainers."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import roles
from accounts.permissions import authenticated_user, may
from common.errors import DomainError
from predictions import members
from predictions.models import Project, ProjectMembership


@require_safe
@may(roles.MANAGE_CATEGORIES)
def project_members(request: HttpRequest, slug: str) -> HttpResponse:
    """List the members, and say what their roles mean."""
    return _page(request, get_object_or_404(Project, slug=slug))


@require_POST
@may(roles.MANAGE_CATEGORIES)
def add_member(request: HttpRequest, slug: str) -> HttpResponse:
    project = get_object_or_404(Project, slug=slug)
    try:
        member = members.add_member(
            project, request.POST.get("login", ""), request.POST.get("role", "")
        )
    except DomainError as error:
        return _page(request, project, refusal=error)
    messages.success(request, _("%(user)s is a member now.") % {"user": member.user.get_username()})
    return redirect("training:members", slug)


@require_POST
@may(roles.MANAGE_CATEGORIES)
def change_member(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Give a member another role."""
    project, member = _member(slug, pk)
    try:
        members.change_role(member, request.POST.get("role", ""))
    except DomainError as error:
        return _page(request, project, refusal=error)
    messages.success(request, _("The role was changed."))
    return _go_on(member, request)


@require_POST
@may(roles.MANAGE_CATEGORIES)
def remove_member(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    project, member = _member(slug, pk)
    try:
        members.remove_member(member)
    except DomainError as error:
        return _page(request, project, refusal=error)
    name = member.user.get_username()
    messages.success(request, _("%(user)s is no member any more.") % {"user": name})
    return _go_on(member, request)


@require_POST
@may(roles.MANAGE_CATEGORIES)
def change_privacy(request: HttpRequest, slug: str) -> HttpResponse:
    """Make a project private, or visible to everybody again."""
    project = get_object_or_404(Project, slug=slug)
    if request.POST.get("private") == "1":
        members.make_private(project, by=authenticated_user(request))
        messages.success(request, _("Only its members see this project now."))
    else:
        members.make_public(project)
        messages.success(request, _("Everybody sees this project now."))
    return redirect("training:members", slug)


def _go_on(member: ProjectMembership, request: HttpRequest) -> HttpResponse:
    # Who has taken their own rights could be refused the page
    if member.user_id == authenticated_user(request).pk:
        return redirect("home")
    return redirect("training:members", member.project.slug)


def _member(slug: str, pk: int) -> tuple[Project, ProjectMembership]:
    project = get_object_or_404(Project, slug=slug)
    found = ProjectMembership.objects.select_related("user", "project")
    return project, get_object_or_404(found, project=project, pk=pk)


def _page(
    request: HttpRequest, project: Project, refusal: DomainError | None = None
) -> HttpResponse:
    context = {
        "project": project,
        "members": project.memberships.select_related("user").order_by("user__username"),
        "roles": ProjectMembership.Role.choices,
        "refusal": refusal,
        "login": request.POST.get("login", ""),
    }
    status = refusal.status if refusal else 200
    return render(request, "training/members.html", context, status=status)

"""The shell of every page: icons, the theme, and the navigation of the project it is about."""

from dataclasses import dataclass
from typing import Any

from django import template
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template import Context
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts import roles
from accounts.models import User
from accounts.queries import site_permissions
from classifr.themes import SYSTEM, chosen_theme
from predictions import project_access
from predictions.models import Project

register = template.Library()

# What a page is about, by the names that views give it; the first that has a project tells
SUBJECTS = ("project", "prediction", "sample", "run", "dataset", "batch", "category", "version")
SECTIONS = {
    "overview": "overview",
    "samples": "samples",
    "predictions:upload": "classify",
    "predictions:detail": "classify",
    "predictions:batch": "classify",
    "predictions:history": "history",
    "training:project": "train",
    "training:run": "train",
    "training:dataset": "train",
    "training:difference": "train",
    "training:compare": "train",
    "training:sweep": "train",
    "training:start_sweep": "train",
    "training:overruled": "train",
    "training:sample_uses": "train",
    "training:origin": "classify",
    "training:label_next": "data",
    "training:labels": "data",
    "training:twins": "data",
    "training:agreement": "data",
    "training:conditions": "data",
    "training:models": "models",
    "training:promote": "models",
    "training:downloads": "models",
    "training:shadow": "models",
    "customvision:import_model": "models",
    "training:categories": "settings",
    "training:known": "settings",
    "training:pictures": "settings",
    "training:options": "settings",
    "training:members": "settings",
    "datasets:imports": "settings",
    "datasets:import": "settings",
}


MOST_PROJECTS = 30  # in the switcher; all are on the home page


@dataclass(frozen=True)
class Navigation:
    """What the side bar shows: the projects to go to, and of this one the section that is open."""

    project: Project | None
    section: str
    projects: QuerySet[Project]
    may_create: bool  # projects, by the role on the site


@register.simple_tag
def icon(name: str, css_class: str = "") -> SafeString:
    """Return an icon of our own sprite; it says nothing that words beside it do not say."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true"><use href="{}#i-{}"/></svg>',
        css_class,
        static("img/icons.svg"),
        name,
    )


@register.simple_tag(takes_context=True)
def theme(context: Context) -> str:
    """Return `light` or `dark`, if somebody chose it, or `system`."""
    request = context.get("request")
    return chosen_theme(request) if request else SYSTEM


@register.simple_tag(takes_context=True)
def navigation(context: Context) -> Navigation:
    request: HttpRequest = context["request"]
    match = request.resolver_match
    section = SECTIONS.get(match.view_name, match.app_name) if match else ""
    user = request.user
    if not isinstance(user, User):
        return Navigation(_project_of(context), section, Project.objects.none(), may_create=False)
    seen = project_access.visible_projects(user).filter(archived_at=None)[:MOST_PROJECTS]
    may_create = user.is_superuser or roles.MANAGE_CATEGORIES in site_permissions(user)
    return Navigation(_project_of(context), section, seen, may_create)


@register.simple_tag(takes_context=True)
def may_in(context: Context, project: Project, permission: str) -> bool:
    """Say whether the user may do something in a project that the page is not about."""
    user = context["request"].user
    return isinstance(user, User) and project_access.may(user, permission, project)


def _project_of(context: Context) -> Project | None:
    for name in SUBJECTS:
        subject: Any = context.get(name)
        found = subject if isinstance(subject, Project) else getattr(subject, "project", None)
        if isinstance(found, Project):
            return found
    return None

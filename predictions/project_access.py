"""Who may do what in which project: the one place that knows of members and private projects.

The role on the site holds in every project that is not private. A membership adds rights in its
project, and takes none. In a private project nothing but the membership counts, and without one it
is not there. Superusers may do everything.

Where a request is about one project, `enter` makes `has_perm` answer for it; lists of many projects
are narrowed by `within` and `visible_projects`. Sites without members and private projects pay
one query for a page, and none for `POST predict`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import FilteredRelation, Q, QuerySet
from django.http import Http404

from accounts import roles
from accounts.models import User
from accounts.queries import site_permissions
from accounts.roles import Role
from predictions.models import Project, ProjectMembership

_SITE_ROLES = {
    ProjectMembership.Role.USER: Role.USER,
    ProjectMembership.Role.REVIEWER: Role.REVIEWER,
    ProjectMembership.Role.MAINTAINER: Role.MAINTAINER,
}


@dataclass(frozen=True)
class Particular:
    """A project in which a user's role on the site is not all that counts."""

    key: int
    slug: str
    uuid: UUID
    is_private: bool
    role: str  # of the membership, "" without one

    @property
    def is_hidden(self) -> bool:
        return self.is_private and not self.role


def rights_of(role: str) -> frozenset[str]:
    """Return what a membership of this role allows."""
    if role == ProjectMembership.Role.VIEWER:
        return frozenset([roles.VIEW_SAMPLES, roles.VIEW_MODELS])
    if role not in _SITE_ROLES:
        return frozenset()
    site_role = _SITE_ROLES[ProjectMembership.Role(role)]
    return roles.IN_PROJECTS.intersection(roles.permissions_of(site_role))


def particulars(user: User) -> Mapping[int, Particular]:
    """Return the private projects and those that the user is a member of; one query per request."""
    known: dict[int, Particular] | None = getattr(user, "_project_particulars", None)
    if known is None:
        own = FilteredRelation("memberships", condition=Q(memberships__user=user))
        rows = (
            Project.everywhere.alias(own=own)
            .filter(Q(is_private=True) | Q(own__isnull=False))
            .values_list("pk", "slug", "uuid", "is_private", "own__role")
        )
        known = {row[0]: Particular(*row[:4], row[4] or "") for row in rows}
        user._project_particulars = known  # type: ignore[attr-defined]
    return known


def rights_in(user: User, project_key: int) -> frozenset[str]:
    """Return all permissions that a user has while they are about this project."""
    if not user.is_active:
        return frozenset()
    found = particulars(user).get(project_key)
    site = frozenset(site_permissions(user))
    if found is None:
        return site
    return (site - roles.IN_PROJECTS if found.is_private else site) | rights_of(found.role)


def may(user: User, permission: str, project: Project) -> bool:
    """Say whether a user may do something in a project.

    No query beside that of the user's role, where that suffices.
    """
    if user.is_superuser:
        return user.is_active
    if not project.is_private and permission in site_permissions(user):
        return True
    return permission in rights_in(user, project.pk)


def is_hidden(user: User, project: Project) -> bool:
    """Say whether a project is not there for a user."""
    if user.is_superuser or not project.is_private:
        return False
    found = particulars(user).get(project.pk)
    return found is None or found.is_hidden


def enter(user: User, project_key: int) -> None:
    """Let `has_perm` answer for this project from now on.

    Raises:
        Http404: if the project is not there for this user.
    """
    if user.is_superuser:
        return
    found = particulars(user).get(project_key)
    if found is None:
        return  # the role on the site is all that counts
    if found.is_hidden:
        raise Http404
    user.rights_here = set(rights_in(user, project_key))


def enter_by(user: User, *, slug: str = "", uuid: UUID | None = None) -> None:
    """Do the same for the project of this slug or UUID; one that nobody knows is left to others."""
    if user.is_superuser:
        return
    for found in particulars(user).values():
        if found.slug == slug or found.uuid == uuid:
            enter(user, found.key)


def enter_project_of(user: User, rows: QuerySet[Any], path: str = "project") -> None:
    """Do the same for the project of an object, which `rows` finds; none is left to others."""
    if user.is_superuser or not particulars(user):
        return
    for key in rows.values_list(path, flat=True)[:1]:
        enter(user, key)


def may_somewhere(user: User, permission: str) -> bool:
    """Say whether a user may do something in a project at all: for pages about many of them."""
    if user.is_superuser or permission in site_permissions(user):
        return user.is_active
    return any(permission in rights_of(each.role) for each in particulars(user).values())


def within(user: User, permission: str, path: str = "project") -> Q:
    """Return the condition on rows that they are of projects in which a user may do something.

    Args:
        path: from the rows to their project.
    """
    if user.is_superuser:
        return Q()
    known = particulars(user).values()
    if permission in site_permissions(user):
        closed = [
            each.key for each in known if each.is_private and permission not in rights_of(each.role)
        ]
        return ~Q(**{f"{path}__in": closed}) if closed else Q()
    return Q(**{f"{path}__in": [e.key for e in known if permission in rights_of(e.role)]})


def visible(user: User, path: str = "project") -> Q:
    """Return the condition on rows that they are of projects that are there for a user."""
    if user.is_superuser:
        return Q()
    hidden = [each.key for each in particulars(user).values() if each.is_hidden]
    return ~Q(**{f"{path}__in": hidden}) if hidden else Q()


def visible_projects(user: User) -> QuerySet[Project]:
    """Return the projects that are there for a user."""
    return Project.objects.filter(visible(user, "pk"))


def people_who_may(permission: str, project: Project) -> QuerySet[User]:
    """Return the active users who may do something in a project."""
    able = [role for role in ProjectMembership.Role.values if permission in rights_of(role)]
    members = ProjectMembership.objects.filter(project=project, role__in=able).values("user")
    others = Q(is_superuser=True)
    if not project.is_private:
        others |= Q(pk__in=roles.users_with(permission).values("pk"))
    return User.objects.filter(others | Q(pk__in=members), is_active=True)

"""The members of a project, and whether it is private. One place for pages and log-ins alike."""

from collections.abc import Mapping

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.models import User
from common.errors import Conflict, InvalidInput
from common.names import comparison_key
from predictions.models import Project, ProjectMembership

MAINTAINER = ProjectMembership.Role.MAINTAINER


def add_member(project: Project, login: str, role: str) -> ProjectMembership:
    """Make somebody a member, by their user name or e-mail address.

    Raises:
        InvalidInput: if there is nobody of this name, or no such role.
        Conflict: if they are a member already.
    """
    _check_role(role)
    user = find_user(login)
    if user is None:
        sentence = _("There is no active user with this name or e-mail address.")
        raise InvalidInput(sentence, fields={"login": [sentence]})
    member, is_new = ProjectMembership.objects.get_or_create(
        project=project, user=user, defaults={"role": role}
    )
    if not is_new:
        sentence = _("%(user)s is a member already.") % {"user": user.get_username()}
        raise Conflict(sentence, fields={"login": [sentence]})
    return member


def find_user(login: str) -> User | None:
    """Return the active user of this name or address, or None."""
    key = comparison_key(login)
    if not key or "\0" in login:
        return None
    found = User.objects.filter(Q(username_key=key) | Q(email_key=key), is_active=True)
    # A user name may read like another's address: the name goes first
    return next(iter(sorted(found[:2], key=lambda user: user.username_key != key)), None)


@transaction.atomic
def change_role(member: ProjectMembership, role: str) -> None:
    """Give a member another role.

    Raises:
        InvalidInput: if there is no such role.
        Conflict: if a private project would be left without a maintainer.
    """
    _check_role(role)
    project = _locked(member.project)
    if role != MAINTAINER:
        _check_maintainer_is_left(project, without=member)
    # A person's word: the directory does not take it away
    ProjectMembership.objects.filter(pk=member.pk).update(role=role, by_directory=False)


@transaction.atomic
def remove_member(member: ProjectMembership) -> None:
    """End a membership. Raises Conflict where a private project would have no maintainer left."""
    _check_maintainer_is_left(_locked(member.project), without=member)
    member.delete()


@transaction.atomic
def make_private(project: Project, *, by: User) -> None:
    """Let nobody but the members see a project; who does this is a maintainer of it afterwards."""
    locked = _locked(project)
    ProjectMembership.objects.update_or_create(
        project=locked, user=by, defaults={"role": MAINTAINER, "by_directory": False}
    )
    Project.objects.filter(pk=locked.pk).update(is_private=True)


def make_public(project: Project) -> None:
    """Let everybody see a project again, by their role on the site; members keep theirs."""
    Project.objects.filter(pk=project.pk).update(is_private=False)


@transaction.atomic
def apply_directory_roles(user: User, given: Mapping[str, str]) -> None:
    """Make the memberships that groups of a directory give those that are in force.

    One that a person gave stays as it is; one that the directory gave and gives no more ends.
    """
    own = set(user.project_memberships.filter(by_directory=False).values_list("project", flat=True))
    for project in Project.objects.filter(slug__in=given).exclude(pk__in=own):
        ProjectMembership.objects.update_or_create(
            project=project, user=user, defaults={"role": given[project.slug], "by_directory": True}
        )
    # The directory decides, even of the last maintainer: superusers still see the project
    user.project_memberships.filter(by_directory=True).exclude(project__slug__in=given).delete()


def _locked(project: Project) -> Project:
    # Of the last two maintainers who remove each other at once, the second is refused
    return Project.objects.select_for_update().get(pk=project.pk)


def _check_role(role: str) -> None:
    if role not in ProjectMembership.Role.values:
        sentence = _("Please choose one of the roles.")
        raise InvalidInput(sentence, fields={"role": [sentence]})


def _check_maintainer_is_left(project: Project, *, without: ProjectMembership) -> None:
    others = project.memberships.filter(role=MAINTAINER, user__is_active=True)
    if project.is_private and not others.exclude(pk=without.pk).exists():
        raise Conflict(
            _(
                "A private project keeps at least one maintainer. Make somebody else a maintainer "
                "first."
            )
        )

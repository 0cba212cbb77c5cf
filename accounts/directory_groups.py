"""Groups of the directory that people log in with, and the roles that `OIDC_GROUPS` gives for them.

Each log-in by OpenID Connect settles them: the role on the site is the highest that a group gives,
and stays as it is where none gives one. What groups give in projects is applied by an upper app.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts import roles
from accounts.models import User
from accounts.roles import Role

PROJECT_ROLES = ("viewer", *Role)
MOST_GROUPS = 1000

ApplyToProjects = Callable[[User, Mapping[str, str]], None]
_appliers: list[ApplyToProjects] = []


@dataclass(frozen=True)
class Given:
    """What one group gives: a role on the site or "", and roles in projects by their slugs."""

    role: str = ""
    projects: Mapping[str, str] = field(default_factory=dict)


def register(apply: ApplyToProjects) -> None:
    """Have a function called at each log-in with the user and their roles in projects, by slug."""
    _appliers.append(apply)


def parse_mapping(text: str) -> dict[str, Given]:
    """Read `OIDC_GROUPS`. Raises ValueError with what is wrong."""
    if not text:
        return {}
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("It is nested too deeply.") from error
    if not isinstance(found, dict):
        raise ValueError("It is no object of groups.")
    mapping = {}
    for name, given in found.items():
        if not isinstance(given, dict) or set(given) - {"role", "projects"}:
            raise ValueError(f"Group '{name}' has something else than role and projects.")
        role, projects = given.get("role", ""), given.get("projects", {})
        if role not in ("", *Role):
            raise ValueError(f"Group '{name}' gives the unknown role '{role}'.")
        if not isinstance(projects, dict) or any(
            each not in PROJECT_ROLES for each in projects.values()
        ):
            raise ValueError(f"Group '{name}' gives an unknown role in a project.")
        mapping[name] = Given(role, projects)
    return mapping


def groups_of(claims: Any, claim: str) -> set[str]:
    """Return the groups that the directory names, of its user info or of its ID token."""
    groups: set[str] = set()
    if not isinstance(claims, dict):
        return groups
    for source in (claims, claims.get("userinfo"), claims.get("id_token")):
        named = source.get(claim) if isinstance(source, dict) else None
        if isinstance(named, list):
            groups.update(each for each in named[:MOST_GROUPS] if isinstance(each, str))
    return groups


@transaction.atomic
def apply_groups(user: User, claims: Any) -> None:
    """Give a user who logs in what the groups of the directory give, and no more by them."""
    mapping = parse_mapping(settings.OIDC_GROUPS)
    if not mapping:
        return
    names = groups_of(claims, settings.OIDC_GROUPS_CLAIM)
    mine = [given for name, given in mapping.items() if name in names]
    if site := [Role(each.role) for each in mine if each.role]:
        roles.assign_role(user, max(site, key=list(Role).index))
    projects: dict[str, str] = {}
    for given in mine:
        for slug, role in given.projects.items():
            projects[slug] = max(projects.get(slug, role), role, key=PROJECT_ROLES.index)
    for apply in _appliers:
        apply(user, projects)

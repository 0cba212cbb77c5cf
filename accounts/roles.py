"""The three roles, as groups: who may do what, in one table.

Each role may do what the ones before it may. Code checks permissions, never roles.
"""

from enum import StrEnum
from typing import Any

from django.apps import AppConfig
from django.contrib.auth.models import Group, Permission
from django.db.models import QuerySet

from accounts.models import User


class Role(StrEnum):
    USER = "user"
    REVIEWER = "reviewer"
    MAINTAINER = "maintainer"


CLASSIFY = "predictions.add_prediction"
REVIEW = "review.add_decision"
MANAGE_CATEGORIES = "predictions.add_category"
TRAIN = "training.add_trainingrun"
PROMOTE = "predictions.add_promotion"
INVITE = "accounts.invite_user"
VIEW_SAMPLES = "predictions.view_sample"
VIEW_MODELS = "predictions.view_modelversion"
# Those that a project can give or withhold by itself; the others hold on the whole site
IN_PROJECTS = frozenset(
    [CLASSIFY, VIEW_SAMPLES, REVIEW, VIEW_MODELS, MANAGE_CATEGORIES, TRAIN, PROMOTE]
)

_NEW_IN_ROLE = {
    Role.USER: [CLASSIFY],
    Role.REVIEWER: [VIEW_SAMPLES, REVIEW],
    Role.MAINTAINER: [VIEW_MODELS, MANAGE_CATEGORIES, TRAIN, PROMOTE, INVITE],
}


def permissions_of(role: Role) -> list[str]:
    """Return the names of a role's permissions, those of lesser roles included."""
    order = list(Role)
    return [name for lesser in order[: order.index(role) + 1] for name in _NEW_IN_ROLE[lesser]]


def assign_role(user: User, role: Role) -> None:
    """Make this the user's only role."""
    user.groups.remove(*Group.objects.filter(name__in=list(Role)))
    user.groups.add(Group.objects.get(name=role))


def role_of(user: User) -> Role | None:
    name = user.groups.filter(name__in=list(Role)).values_list("name", flat=True).first()
    return Role(name) if name else None


def users_with(permission: str) -> QuerySet[User]:
    """Return the active users who have a permission on the site, superusers among them."""
    return User.objects.with_perm(
        permission, backend="django.contrib.auth.backends.ModelBackend", include_superusers=True
    )


def sync_role_groups(sender: AppConfig, **kwargs: Any) -> None:
    """Give every role group exactly its permissions, as far as they exist by now."""
    # Connected to `post_migrate`, which each app sends: after the last one all of them exist
    for role in Role:
        group, _ = Group.objects.get_or_create(name=role)
        names = permissions_of(role)
        # A codename is unique within its app only, so the app is compared as well
        wanted = [
            permission
            for permission in Permission.objects.filter(
                codename__in=[n.split(".")[1] for n in names]
            ).select_related("content_type")
            if f"{permission.content_type.app_label}.{permission.codename}" in names
        ]
        group.permissions.set(wanted)

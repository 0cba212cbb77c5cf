"""Telling people something, once: a row for each of them, in the transaction of the fact."""

from collections.abc import Iterable, Mapping
from typing import Any

from accounts import roles
from accounts.models import User
from notifications.models import Kind, Notification
from notifications.preferences import channels_for
from predictions import project_access
from predictions.models import Project


def notify(
    users: Iterable[User],
    kind: Kind,
    text: str,
    *,
    key: str,
    url: str,
    project: Project | None = None,
    params: Mapping[str, Any] | None = None,
) -> None:
    """Have users told of something, where they wish; one who was told of `key` is not told again.

    Call it in the transaction of the fact: they are told if and only if it has happened. Mails are
    sent later, see `mails`.

    Args:
        text: which sentence of `sentences`, filled with `params`.
        url: the page that shows more.
    """
    wanted = channels_for({user.pk for user in users}, kind)
    rows = [
        Notification(
            user_id=user,
            project=project,
            kind=kind,
            text=text,
            params=dict(params or {}),
            url=url,
            key=key,
            **channels._asdict(),
        )
        for user, channels in wanted.items()
        if channels
    ]
    Notification.objects.bulk_create(rows, ignore_conflicts=True)


def withdraw(key: str) -> None:
    """Take back what nobody has read yet, as it holds no longer."""
    Notification.objects.filter(key=key, read_at=None, mailed_at=None).delete()


def people_who_may(permission: str, project: Project | None = None) -> Iterable[User]:
    """Return the active users with a permission, on the site or in a project."""
    if project is not None:
        return project_access.people_who_may(permission, project)
    return roles.users_with(permission)

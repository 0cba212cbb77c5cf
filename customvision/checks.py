"""System checks of the interface of exported containers."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError

from accounts.models import User
from predictions.models import Project


@register
def check_container_settings(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    if not settings.CONTAINER_USER or settings.CONTAINER_PROJECT:
        return []
    return [
        Error(
            "CONTAINER_USER is set, and CONTAINER_PROJECT is not.",
            hint="Name the project whose live model answers, or leave CONTAINER_USER out.",
            id="customvision.E002",
        )
    ]


@register(Tags.database)
def check_container_rows(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Tell of a project or account that is named and not there."""
    if not databases:
        return []
    slug, username = settings.CONTAINER_PROJECT, settings.CONTAINER_USER
    found: list[CheckMessage] = []
    try:
        if slug and not Project.objects.filter(slug=slug).exists():
            hint = "Name a project by its slug: manage.py create_project shows it."
            message = f"CONTAINER_PROJECT is '{slug}', and there is no such project."
            found.append(Warning(message, hint=hint, id="customvision.W003"))
        if username and not User.objects.filter(username=username, is_active=True).exists():
            hint = "Make an account with the role user, for these requests alone."
            message = f"CONTAINER_USER is '{username}', and there is no such active account."
            found.append(Warning(message, hint=hint, id="customvision.W004"))
    except DatabaseError:  # not migrated yet
        return []
    return found

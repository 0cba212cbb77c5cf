"""System checks of the settings of this app."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from accounts import directory_groups


@register
def check_lifetimes(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    if settings.INVITATION_DAYS <= 0:
        messages.append(
            Error(
                "INVITATION_DAYS must be more than 0.",
                hint="Seven days is the default.",
                id="accounts.E001",
            )
        )
    token_term = settings.REST_KNOX["TOKEN_TTL"]
    # None would mean that tokens never expire
    if isinstance(token_term, timedelta) and token_term <= timedelta(0):
        messages.append(
            Error("TOKEN_DAYS must be more than 0.", hint="A year is 365.", id="accounts.E002")
        )
    return messages


@register
def check_oidc_url(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if not settings.OIDC_SERVER_URL:
        return []
    parts = urlsplit(settings.OIDC_SERVER_URL)
    if parts.scheme == "https" and parts.netloc:
        return []
    return [
        Error(
            f"OIDC_SERVER_URL is '{settings.OIDC_SERVER_URL}'.",
            hint="It begins with https://, for Entra ID: "
            "https://login.microsoftonline.com/<tenant>/v2.0",
            id="accounts.E003",
        )
    ]


@register
def check_oidc_groups(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    try:
        directory_groups.parse_mapping(settings.OIDC_GROUPS)
    except ValueError as error:
        return [
            Error(
                f"OIDC_GROUPS cannot be read: {error}",
                hint='For example {"vision-team": {"role": "reviewer", "projects": '
                '{"dishes": "maintainer"}}}, see docs/members.md.',
                id="accounts.E004",
            )
        ]
    return []

"""System checks of the whole site: `check --deploy` names what would only fail in production."""

import ipaddress
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.http.request import validate_host

from classifr.backup.unfinished import mark_path
from common import processes

LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
PROCESS_LOCAL_CACHES = ("locmem.LocMemCache", "dummy.DummyCache")
BACKENDS_THAT_SEND_NOTHING = ("console", "locmem", "dummy", "filebased")

AppConfigs = Sequence[AppConfig] | None


@register(Tags.security, deploy=True)
def check_hosts(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    if set(settings.ALLOWED_HOSTS) <= LOOPBACK:
        return [
            Warning(
                "ALLOWED_HOSTS names this machine only.",
                hint="Set it to the names that browsers use: ALLOWED_HOSTS=classifr.example.com",
                id="classifr.W001",
            )
        ]
    if "*" in settings.ALLOWED_HOSTS:
        return [
            Warning(
                "ALLOWED_HOSTS=* believes any Host header: a forged one gets into the links that "
                "mails carry.",
                hint="Name the hosts: ALLOWED_HOSTS=classifr.example.com",
                id="classifr.W002",
            )
        ]
    return []


@register(Tags.security)
def check_origins(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Name origins that can never work: not among the hosts, or of the wrong scheme."""
    messages: list[CheckMessage] = []
    for origin in settings.CSRF_TRUSTED_ORIGINS:
        parts = urlsplit(origin)
        # Browsers name the scheme of the page, which with HTTPS=true is never http.
        if settings.SECURE_PROXY_SSL_HEADER and settings.HTTPS and parts.scheme == "http":
            messages.append(
                Error(
                    f"CSRF_TRUSTED_ORIGINS names {origin}, but with HTTPS=true no form comes by "
                    f"http.",
                    hint=f"Set it to https://{parts.netloc}",
                    id="classifr.E001",
                )
            )
        host = (parts.hostname or "").removeprefix("*")
        if not validate_host(host.lstrip("."), settings.ALLOWED_HOSTS):
            messages.append(
                Warning(
                    f"CSRF_TRUSTED_ORIGINS names {origin}, which is not among ALLOWED_HOSTS.",
                    hint="A proxy must pass the Host header on; then add the name to "
                    "ALLOWED_HOSTS.",
                    id="classifr.W003",
                )
            )
    return messages


@register(Tags.security)
def clients_have_limits(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Name limits with which every client is too slow, or none ever is."""
    return [
        Error(
            f"{name} is {getattr(settings, name)}.",
            hint=f"Set it to 1 or more, or leave it out: {name}={usual}",
            id="classifr.E002",
        )
        for name, usual in (("CLIENT_SECONDS", 20), ("CLIENT_BYTES_PER_SECOND", 500))
        if getattr(settings, name) < 1
    ]


@register(Tags.security, deploy=True)
def check_proxy(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Name a proxy set-up in which every form fails or every request is redirected for ever."""
    if settings.HTTPS and not settings.BEHIND_PROXY:
        return [
            Warning(
                "HTTPS=true without BEHIND_PROXY=true: Classifr itself speaks plain HTTP, so every "
                "request looks "
                "insecure, is redirected to HTTPS for ever, and forms fail their origin check.",
                hint="Set BEHIND_PROXY=true, and have the proxy set X-Forwarded-Proto and "
                "X-Forwarded-For itself.",
                id="classifr.W004",
            )
        ]
    if settings.BEHIND_PROXY and not settings.HTTPS:
        return [
            Warning(
                "BEHIND_PROXY=true without HTTPS=true: log-ins and pictures travel in the clear.",
                hint="Have the proxy speak HTTPS, and set HTTPS=true.",
                id="classifr.W005",
            )
        ]
    return []


@register(Tags.caches, deploy=True)
def check_cache(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    # One process alone counts everything, wherever it keeps it.
    count = processes.web_process_count()
    if count == 1 or not settings.CACHES["rates"]["BACKEND"].endswith(PROCESS_LOCAL_CACHES):
        return []
    return [
        Warning(
            f"{count} web processes with a cache each: every one of them counts log-ins and "
            f"uploads for itself.",
            hint="Let them share one: leave CACHE_URL out, or set "
            "CACHE_URL=redis://localhost:6379/0",
            id="classifr.W006",
        )
    ]


@register(Tags.security, deploy=True)
def check_email(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    if any(f".{name}." in settings.EMAIL_BACKEND for name in BACKENDS_THAT_SEND_NOTHING):
        messages.append(
            Warning(
                "Mails are not sent: invitations and password resets reach nobody.",
                hint="Set EMAIL_URL, for example smtp+tls://user:password@smtp.example.com:587",
                id="classifr.W007",
            )
        )
    if settings.DEFAULT_FROM_EMAIL.endswith("@localhost"):
        messages.append(
            Warning(
                f"Mails come from {settings.DEFAULT_FROM_EMAIL}, which mail servers refuse.",
                hint="Set DEFAULT_FROM_EMAIL=classifr@your.domain",
                id="classifr.W008",
            )
        )
    return messages


@register(Tags.security)
def check_metrics_networks(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Name what is no network: nobody would be let in by it, or everybody."""
    messages: list[CheckMessage] = []
    for network in settings.METRICS_NETWORKS:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            messages.append(
                Error(
                    f"METRICS_NETWORKS names {network!r}: {error}",
                    hint="Write networks as 10.0.0.0/8, a single address as 10.1.2.3/32",
                    id="classifr.E010",
                )
            )
    return messages


@register(Tags.security)  # asked by every command but restore
def check_restore(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    if not mark_path().exists():
        return []
    return [
        Error(
            "A restore of a backup was interrupted, or is under way.",
            hint="Run manage.py restore again with the same archive; it finishes.",
            id="classifr.E011",
        )
    ]

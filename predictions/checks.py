"""System checks of predictions: a wrong setting is explained before it hurts."""

import re
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError

from accounts.models import User
from common.names import UniqueNames
from predictions.models import Category, Project
from predictions.predictors.base import predictors

KNOWN_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "HEIC")
NEEDED_STORAGES = ("uploads", "misclassified", "models")
LIMITS = (
    "UPLOAD_MAX_BYTES",
    "UPLOAD_REQUEST_MAX_BYTES",
    "UPLOAD_MAX_PIXELS",
    "UPLOAD_MEGAPIXELS",
    "UPLOAD_BATCH_MAX_FILES",
    "UPLOAD_QUOTA",
    "TEXT_MAX_CHARACTERS",
    "TEXT_BATCH_MAX",
    "ENGINE_THREADS",
)


@register
def check_predictors(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return predictors.check("predictions.E001")


@register(Tags.database)
def check_twins(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Tell of rows that bore the name of another one before names had to differ to a reader."""
    if not databases:
        return []
    models: list[type[UniqueNames]] = [Project, Category, User]
    try:
        return [
            Warning(
                f"The {model._meta.verbose_name} “{row}” has the name of another one.",
                hint="Give one of them another name, so that people can tell them apart.",
                obj=row,
                id="predictions.W018",
            )
            for model in models
            for row in model.twins()
        ]
    except DatabaseError:  # not migrated yet
        return []


@register
def check_retention(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    if settings.RETENTION not in ("nok", "all"):
        messages.append(
            Error(
                f"RETENTION is '{settings.RETENTION}'.",
                hint="Set RETENTION=nok to let pictures go after an OK, or RETENTION=all to keep "
                "them.",
                id="predictions.E011",
            )
        )
    if settings.UNANSWERED_TTL.total_seconds() <= 0:
        messages.append(
            Error(
                "UNANSWERED_TTL_HOURS must be more than 0.",
                hint="A week is 168.",
                id="predictions.E012",
            )
        )
    return messages


@register
def check_upload_formats(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    unknown = [name for name in settings.UPLOAD_FORMATS if name not in KNOWN_FORMATS]
    if settings.UPLOAD_FORMATS and not unknown:
        return []
    problem = (
        f"UPLOAD_FORMATS names {', '.join(unknown)}." if unknown else "UPLOAD_FORMATS is empty."
    )
    return [
        Error(problem, hint=f"Choose some of {','.join(KNOWN_FORMATS)}.", id="predictions.E013")
    ]


@register
def check_upload_rate(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if re.fullmatch(r"[1-9]\d*/[smhd]", settings.UPLOAD_RATE):
        return []
    hint = "Give a number of pictures per second, minute, hour or day: UPLOAD_RATE=600/m"
    return [Error(f"UPLOAD_RATE is '{settings.UPLOAD_RATE}'.", hint=hint, id="predictions.E016")]


@register
def check_upload_limits(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    return [
        Error(
            f"{name} is {getattr(settings, name)}.",
            hint="It must be more than 0.",
            id="predictions.E014",
        )
        for name in LIMITS
        if getattr(settings, name) <= 0
    ]


@register
def check_storages(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return [
        Error(
            f"STORAGES has no '{alias}'.",
            hint=f"Set {alias.upper()}_STORAGE.",
            id="predictions.E015",
        )
        for alias in NEEDED_STORAGES
        if alias not in settings.STORAGES
    ]


@register
def check_storage_links(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    kinds = {storage["BACKEND"].rpartition(".")[2] for storage in settings.STORAGES.values()}
    if not settings.AZURE_STORAGE_LINKS or "AzureBlobStorage" in kinds:
        return []
    message = "AZURE_STORAGE_LINKS is set, but no pictures are in Azure Blob Storage."
    hint = "Set MISCLASSIFIED_STORAGE=azure:CONTAINER, or leave AZURE_STORAGE_LINKS out."
    return [Warning(message, hint=hint, id="predictions.W017")]

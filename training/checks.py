"""System checks of training: a wrong setting is explained before it hurts."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from predictions import registry
from predictions.models import Project
from predictions.predictors.base import predictors
from training.trainers.base import trainers


@register
def check_trainers(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return trainers.check("training.E001")


@register
def check_defaults(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.DEFAULT_TRAINER not in trainers:
        message = (
            f"DEFAULT_TRAINER names '{settings.DEFAULT_TRAINER}', which TRAINERS does not have."
        )
        return [Error(message, hint=f"Choose one of: {', '.join(trainers)}.", id="training.E002")]
    try:
        names = list(trainers[settings.DEFAULT_TRAINER].backbone_names())
    except ImproperlyConfigured:
        return []  # training.E001 tells
    # DEFAULT_BACKBONE is one of the local trainer; others have backbones of their own
    if not names or settings.DEFAULT_BACKBONE in names or settings.DEFAULT_TRAINER != "keras":
        return []
    message = f"DEFAULT_BACKBONE names '{settings.DEFAULT_BACKBONE}', which no backbone is called."
    hint = trainers[settings.DEFAULT_TRAINER].retired_backbone(settings.DEFAULT_BACKBONE)
    hint = hint or f"Choose one of: {', '.join(names)}."
    return [Error(message, hint=hint, id="training.E003")]


@register
def check_weights_folder(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    folder = settings.CLASSIFR_WEIGHTS_DIR
    if not folder or Path(folder).is_dir():
        return []
    message = f"CLASSIFR_WEIGHTS_DIR names {folder}, which is no folder."
    hint = (
        "Name the folder that holds the files of pretrained weights, or leave it empty to let "
        "Keras fetch them."
    )
    return [Error(message, hint=hint, id="training.E004")]


@register
def check_backends_in_use(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Name the settings that are missing for trainers and predictors in use.

    Of projects it only warns: one of them must not keep the server from starting for all the
    others.
    """
    hint = "Set them in the environment or in .env, or choose another one."
    messages: list[CheckMessage] = []
    if missing := _missing(trainers, settings.DEFAULT_TRAINER):
        needs = (
            f"DEFAULT_TRAINER is '{settings.DEFAULT_TRAINER}', which needs: {', '.join(missing)}."
        )
        messages.append(Error(needs, hint=hint, id="training.E005"))
    try:
        projects = list(Project.objects.all())
    except (DatabaseError, RuntimeError):
        projects = []  # before the first migration, or where a test has no database
    for project in projects:
        used: list[tuple[str, Any, str]] = [
            (f"The trainer of the project '{project.slug}'", trainers, project.trainer)
        ]
        if live := registry.live_version(project):
            who = f"The predictor of the live model of '{project.slug}'"
            used.append((who, predictors, live.predictor))
        for who, backends, alias in used:
            if alias and (missing := _missing(backends, alias)):
                needs = f"{who} is '{alias}', which needs: {', '.join(missing)}."
                messages.append(Warning(needs, hint=hint, id="training.W001"))
    return messages


@register
def check_mlflow(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    address = settings.MLFLOW_TRACKING_URI
    if not address or urlsplit(address).scheme in ("http", "https"):
        return []
    message = f"MLFLOW_TRACKING_URI is {address}, which is no address of a server."
    hint = "Runs are logged by MLflow's REST API: https://mlflow.example.com"
    return [Error(message, hint=hint, id="training.E006")]


def _missing(backends: Any, alias: str) -> list[str]:
    try:
        return backends[alias].missing_settings()
    except ImproperlyConfigured:
        return []  # training.E001 and predictions.E001 tell

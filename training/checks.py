"""System checks of the training room: a wrong setting is explained before it hurts."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from training.trainers.base import trainers


@register
def trainers_can_be_built(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return trainers.check("training.E001")


@register
def defaults_are_known(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.DEFAULT_TRAINER not in trainers:
        message = f"DEFAULT_TRAINER names '{settings.DEFAULT_TRAINER}', which TRAINERS does not have."
        return [Error(message, hint=f"Choose one of: {', '.join(trainers)}.", id="training.E002")]
    try:
        known = list(trainers[settings.DEFAULT_TRAINER].backbones())
    except ImproperlyConfigured:
        return []  # training.E001 tells
    if not known or settings.DEFAULT_BACKBONE in known or settings.DEFAULT_TRAINER != "keras":
        return []
    message = f"DEFAULT_BACKBONE names '{settings.DEFAULT_BACKBONE}', which no backbone is called."
    return [Error(message, hint=f"Choose one of: {', '.join(known)}.", id="training.E003")]


@register
def weights_folder_exists(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    folder = settings.CLASSIFR_WEIGHTS_DIR
    if not folder or Path(folder).is_dir():
        return []
    message = f"CLASSIFR_WEIGHTS_DIR names {folder}, which is no folder."
    hint = "Name the folder that holds the files of pretrained weights, or leave it empty to let Keras fetch them."
    return [Error(message, hint=hint, id="training.E004")]

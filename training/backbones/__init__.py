"""The backbones by name.

How to add one: a row in `imagenet.NETWORKS` if `keras.applications` has it; else a module with a
function that takes the parameters of a run and returns a `Backbone`, and a line in `FROZEN`.
`scratch` is different: its network is learned in the run itself, from the run's own pictures. And
`auto` is no network, but the best of some for a project.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from training.backbones import imagenet, lite0, lite0_inspection
from training.backbones.base import Backbone
from training.errors import TrainingFailed

SCRATCH = "scratch"
INSPECTION = lite0_inspection.NAME  # the default of projects whose pictures are inspected
KNOWS_IMAGENET = "lite0"  # by it a model is made without pictures
AUTO = "auto"  # whichever of the frozen ones suits the project best, see the trainer
# Of earlier versions; models that were trained on them go on answering
RETIRED = {"bundled": "lite0"}


def _lite0(name: str, parameters: Mapping[str, Any]) -> Backbone:
    return lite0.find_backbone(name)


FROZEN: dict[str, Callable[[Mapping[str, Any]], Backbone]] = {
    **{name: partial(_lite0, name) for name in lite0.SIZES},
    INSPECTION: lambda parameters: lite0_inspection.find_backbone(),
    **{name: partial(imagenet.find_backbone, name) for name in imagenet.NETWORKS},
}


def backbone_names() -> list[str]:
    """Return the names of all backbones, the default one first."""
    every = [*FROZEN, SCRATCH, AUTO]
    # The sort is stable: all others keep their order
    return sorted(every, key=lambda name: name != settings.DEFAULT_BACKBONE)


def knows_imagenet(name: str) -> bool:
    """Return whether a backbone tells ImageNet's classes apart, see `Backbone.imagenet_head`."""
    return name in lite0.SIZES


def retired_sentence(name: str) -> str:
    """Return why a backbone of an earlier version is gone; "" for any other name."""
    if name not in RETIRED:
        return ""
    return _(
        "The backbone “%(name)s” is no longer part of Classifr. Choose “%(successor)s”, which does "
        "better. Models that were trained on the old one go on answering."
    ) % {"name": name, "successor": RETIRED[name]}


def load(name: str, parameters: Mapping[str, Any] | None = None) -> Backbone:
    """Return a frozen backbone.

    Raises:
        TrainingFailed: there is none of that name, or its weights cannot be had.
    """
    if gone := retired_sentence(name):
        raise TrainingFailed(gone)
    if name not in FROZEN:
        raise TrainingFailed(
            _("There is no backbone “%(name)s”. Choose one of: %(names)s.")
            % {"name": name, "names": ", ".join(backbone_names())}
        )
    return FROZEN[name](parameters or {})

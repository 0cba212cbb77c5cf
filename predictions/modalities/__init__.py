"""What kinds of samples there are, by the value of `Project.modality`.

How to add one: subclass `base.Modality` in a module of its own, and name it here; a predictor and a
trainer say in `modalities` that they take it.
"""

from collections.abc import Mapping
from typing import Any

from predictions.modalities.base import Modality
from predictions.modalities.pictures import Pictures
from predictions.modalities.texts import Texts

PICTURES = Pictures()
TEXTS = Texts()
modalities: Mapping[str, Modality[Any]] = {each.alias: each for each in (PICTURES, TEXTS)}


def modality_of_type(media_type: str) -> Modality[Any]:
    """Return the modality of what is stored under this media type."""
    # Rows of old have none; all of them are pictures
    return TEXTS if media_type in TEXTS.stored_types else PICTURES

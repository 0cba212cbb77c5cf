"""Capture conditions: under what a sample was taken, such as the camera, the hour or the line.

Camera and local hour are read from the EXIF of a picture before that is removed; others are given
with an upload, as form fields named `capture[...]`. What was said first of a sample stays. Where a
picture was taken, and serial numbers, are never read.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from common.errors import InvalidInput
from predictions.models import CaptureCondition, Sample

CAMERA, HOUR = "camera", "hour"
MOST = 8  # given with one upload
MAX_NAME, MAX_VALUE = 32, 100
_FIELD = re.compile(r"capture\[(.*)\]", re.DOTALL)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")

Conditions = Mapping[str, str]
NONE: Conditions = {}


def submitted_conditions(fields: Mapping[str, Any]) -> Conditions:
    """Return the conditions among the fields of a form, or of a query: `capture[line]=3`.

    Raises:
        InvalidInput: too many, a name that is none, or a value that is too long or no text.
    """
    found = {}
    for field, value in fields.items():
        if match := _FIELD.fullmatch(field):
            found[_checked_name(match[1], field)] = _checked_value(value, field)
            if len(found) > MOST:
                sentence = _("At most %(limit)d capture conditions are taken with a sample.")
                raise _refusal(field, sentence % {"limit": MOST})
    # An empty field of a form says nothing
    return {name: value for name, value in found.items() if value}


def conditions_of_capture(capture: Mapping[str, Any]) -> Conditions:
    """Return the conditions that the EXIF of a picture told, see `Sample.capture`."""
    make, model = (str(capture.get(f"camera_{part}", "")) for part in ("make", "model"))
    # Most models begin with their maker's name
    camera = model if model.casefold().startswith(make.casefold()) else f"{make} {model}"
    hour = str(capture.get("taken_at", ""))[11:13]
    told = {CAMERA: camera.strip()[:MAX_VALUE], HOUR: hour}
    return {name: value for name, value in told.items() if value}


def record_conditions(sample: Sample, conditions: Conditions) -> None:
    """Write down what is said of a sample for the first time."""
    if conditions:
        rows = [
            CaptureCondition(sample=sample, name=name, value=value)
            for name, value in conditions.items()
        ]
        CaptureCondition.objects.bulk_create(rows, ignore_conflicts=True)


def _checked_name(name: str, field: str) -> str:
    if not _NAME.fullmatch(name):
        sentence = _(
            "A capture condition needs a name of 1 to %(limit)d small letters, digits, - or _."
        )
        raise _refusal(field, sentence % {"limit": MAX_NAME})
    return name


def _checked_value(value: Any, field: str) -> str:
    text = " ".join(unicodedata.normalize("NFC", value).split()) if isinstance(value, str) else ""
    if not isinstance(value, str) or len(text) > MAX_VALUE or not text.isprintable():
        sentence = _("The value of a capture condition is a text of at most %(limit)d characters.")
        raise _refusal(field, sentence % {"limit": MAX_VALUE})
    return text


def _refusal(field: str, sentence: str) -> InvalidInput:
    return InvalidInput(sentence, fields={field[:MAX_VALUE]: [sentence]})

"""The language of background work: that of who asked for it, so that the sentences it writes down
are understood.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from django.conf import settings
from django.utils import translation

KEY = "language"


def kept_in(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's payload with the language that is spoken now."""
    return {**payload, KEY: translation.get_language() or settings.LANGUAGE_CODE}


def spoken_in(payload: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Speak the language that was kept in a job's payload, or the server's own."""
    return translation.override(payload.get(KEY) or settings.LANGUAGE_CODE)

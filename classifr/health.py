"""Probes for whoever watches over the processes: alive (it answers), ready (it can do its work).

Anybody may ask, so the answer names parts of the system only; the log says more.
"""

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.core.cache import DEFAULT_CACHE_ALIAS, caches
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import FileSystemStorage, storages
from django.db import connection
from django.http import HttpRequest, JsonResponse

from common.caches import SteadyCache
from common.errors import DomainError
from predictions import registry
from predictions.models import Project
from predictions.predictors.base import ModelRef, predictors

logger = logging.getLogger(__name__)

FRESH_SECONDS = 5.0
STORAGES = ("uploads", "misclassified", "models")
MIN_FREE_BYTES = 100_000_000
OK = "ok"
CACHE = "cache"


def liveness(request: HttpRequest) -> JsonResponse:
    # Asks nothing of the database or a storage: restarting this process would not mend them.
    return JsonResponse({"status": OK})


def readiness(request: HttpRequest) -> JsonResponse:
    """Answer 200 when the database, the storages and every live model work, else 503 and which not.

    Without the cache it is "degraded" and still 200: requests are answered, and rates counted less
    exactly.
    """
    parts = readiness_cache.parts()
    wrong = {name for name, state in parts.items() if state != OK}
    if wrong - {CACHE}:
        return JsonResponse({"status": "unavailable", "parts": parts}, status=503)
    return JsonResponse({"status": "degraded" if wrong else OK, "parts": parts})


class Readiness:
    """The state of each part, looked at anew every few seconds however many ask."""

    def __init__(self) -> None:
        self._parts: dict[str, str] = {}
        self._looked_at = 0.0
        self._looking = threading.Lock()
        self._loaded: set[tuple[str, ModelRef]] = set()

    def parts(self) -> dict[str, str]:
        """Return the name of every part and `ok`, or what is wrong with it."""
        # Who asks while another looks gets the last answer, so that a slow storage cannot tie up
        # every thread.
        if not self._is_fresh() and self._looking.acquire(blocking=not self._parts):
            try:
                if not self._is_fresh():  # another thread looked while this one waited
                    self._look()
            finally:
                self._looking.release()
        return self._parts

    def _is_fresh(self) -> bool:
        return bool(self._parts) and time.monotonic() - self._looked_at < FRESH_SECONDS

    def invalidate(self) -> None:
        """Look anew at the next question."""
        self._parts, self._looked_at, self._loaded = {}, 0.0, set()

    def _look(self) -> None:
        parts = {"database": _state("database", _ask_database)}
        # Side by side: each may take its whole time budget to find out that nobody answers.
        with ThreadPoolExecutor(len(STORAGES)) as pool:
            states = pool.map(
                lambda alias: _state(f"storage {alias}", lambda: _ask_storage(alias)), STORAGES
            )
            parts |= {
                f"storage {alias}": state for alias, state in zip(STORAGES, states, strict=True)
            }
        # Without both, each model would only fail for the same reason, and take its time to do so.
        if parts["database"] == parts["storage models"] == OK:
            parts["models"] = _state("models", self._ask_models)
        parts[CACHE] = _state(CACHE, _ask_cache)
        self._parts, self._looked_at = parts, time.monotonic()

    def _ask_models(self) -> str:
        """Load every live model that this process has not loaded yet."""
        broken = 0
        for project in Project.objects.filter(promotions__isnull=False).distinct():
            version = registry.live_version(project)
            if version is None:
                continue
            key = (version.predictor, registry.model_ref(version))
            if key in self._loaded:
                continue
            try:
                predictors[version.predictor].warm_up(key[1])
            except (DomainError, ImproperlyConfigured) as error:
                logger.warning("The live model %s cannot be loaded: %s", version, error)
                broken += 1
            else:
                self._loaded.add(key)
        return f"{broken} live models cannot be loaded" if broken else OK


def _state(name: str, ask: Callable[[], str]) -> str:
    try:
        return ask()
    except Exception as error:  # every storage and database raises its library's own errors
        logger.warning("Not ready: %s: %s", name, error)
        return "cannot be used"


def _ask_database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return OK


def _ask_cache() -> str:
    cache = caches[DEFAULT_CACHE_ALIAS]
    return OK if not isinstance(cache, SteadyCache) or cache.is_steady else "cannot be used"


def _ask_storage(alias: str) -> str:
    storage = storages[alias]
    if not isinstance(storage, FileSystemStorage):
        storage.exists("readiness")  # whether it is there does not matter, an answer does
        return OK
    os.makedirs(storage.location, exist_ok=True)
    if not os.access(storage.location, os.W_OK):
        return "cannot be written"
    return OK if shutil.disk_usage(storage.location).free > MIN_FREE_BYTES else "disk full"


readiness_cache = Readiness()

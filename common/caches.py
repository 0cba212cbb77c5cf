"""A cache that goes on without its server: meanwhile each process counts for itself.

Rates must neither fail a request nor let everything pass: while Redis is gone or frozen, or the
disk of a file cache is full, each process counts log-ins and API requests in its own memory. Who
attacks has as many attempts more as there are processes, and nobody else notices. The other cache
is asked again every few seconds, by one request.
"""

import logging
import threading
import time
from typing import Any

from django.core.cache import caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
REDIS_SECONDS = 0.5
_PROBE = "steady-probe"


class SteadyCache(BaseCache):
    """Stands before the cache whose alias is its `LOCATION`, and in for it while it is down."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._alias = location
        self._stand_in = LocMemCache(f"in place of {location}", params)

    @property
    def is_steady(self) -> bool:
        """Say whether the cache behind can be used: asked now, unless it failed just now."""
        outage = _outage_of(self._alias)
        return outage.may_ask() if outage.is_on else outage.try_again()

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return self._do("get", key, default, version=version)

    def set(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        self._do("set", key, value, timeout, version=version)

    def add(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        return bool(self._do("add", key, value, timeout, version=version))

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return bool(self._do("touch", key, timeout, version=version))

    def delete(self, key: str, version: int | None = None) -> bool:
        return bool(self._do("delete", key, version=version))

    def has_key(self, key: str, version: int | None = None) -> bool:
        return bool(self._do("has_key", key, version=version))

    def clear(self) -> None:
        self._stand_in.clear()
        self._do("clear")

    def _do(self, name: str, *args: Any, **options: Any) -> Any:
        outage = _outage_of(self._alias)
        if outage.may_ask():
            try:
                return getattr(caches[self._alias], name)(*args, **options)
            except Exception as error:  # each backend raises its library's own errors
                outage.begin(error)
        return getattr(self._stand_in, name)(*args, **options)


class QuickRedisCache(RedisCache):
    """Redis that is given up soon: a request waits for it, which can do without."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        # Here, so that an installation without Redis does not pay for its client.
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        quick = {
            "socket_connect_timeout": REDIS_SECONDS,
            "socket_timeout": REDIS_SECONDS,
            "retry": Retry(NoBackoff(), 0),
        }
        super().__init__(server, params | {"OPTIONS": quick | params.get("OPTIONS", {})})


class _Outage:
    """Whether a cache can be used: one per alias and process, so that few wait for a dead one."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._lock = threading.Lock()
        self._next_try = 0.0
        self.is_on = False

    def may_ask(self) -> bool:
        """Say whether to ask the cache. When its time has come, one of those who ask finds out."""
        if not self.is_on:
            return True
        with self._lock:
            if not self.is_on or time.monotonic() < self._next_try:
                return not self.is_on
            # Set before trying: of many requests at this moment one waits, the others go on.
            self._next_try = time.monotonic() + RETRY_SECONDS
        return self.try_again()

    def try_again(self) -> bool:
        """Write to the cache and read it: a full disk still answers what is asked."""
        try:
            caches[self._alias].set(_PROBE, 1, 60)
            caches[self._alias].get(_PROBE)
        except Exception as error:
            self.begin(error)
            return False
        if self.is_on:
            logger.warning("The cache “%s” can be used again.", self._alias)
        self.is_on = False
        return True

    def begin(self, error: Exception) -> None:
        with self._lock:
            if not self.is_on:
                what = "The cache “%s” cannot be used, so each process counts rates for itself: %r"
                logger.warning(what, self._alias, error)
            self.is_on = True
            self._next_try = time.monotonic() + RETRY_SECONDS


_outages: dict[str, _Outage] = {}


def _outage_of(alias: str) -> _Outage:
    return _outages.setdefault(alias, _Outage(alias))


def forget_outages() -> None:
    """Ask every cache at the next occasion."""
    _outages.clear()

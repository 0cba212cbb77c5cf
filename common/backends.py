"""Swappable parts by alias, in the shape of Django's own `STORAGES` and `CACHES`.

A setting maps an alias to ``{"BACKEND": "dotted.path.Class", "OPTIONS": {...}}``. The class is
imported on first use, so that a heavy library is paid for only where its backend really works.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from common.errors import DomainError

T = TypeVar("T")


@dataclass(frozen=True)
class PermissionCheck:
    """One permission at a service; `works` is None where it could not be tried: no failure."""

    what: str
    works: bool | None
    text: str


class NotTried(Exception):
    """There is nothing to try this permission with; the message says why."""


def check_permission(what: str, attempt: Callable[[], str]) -> PermissionCheck:
    """Try a permission; `attempt` returns what it found. No error that it raises may name a key."""
    try:
        return PermissionCheck(what, True, attempt())
    except NotTried as reason:
        return PermissionCheck(what, None, str(reason))
    except (DomainError, OSError) as error:
        return PermissionCheck(what, False, str(error))


class UnknownBackend(ImproperlyConfigured):
    """No backend is configured under this alias."""


class Backends(Generic[T]):
    """The backends of one setting, built lazily and rebuilt when the setting changes."""

    def __init__(self, setting: str, base: type[T]) -> None:
        self.setting = setting
        self.base = base
        self._built: dict[str, T] = {}
        setting_changed.connect(self._forget)  # for tests with `override_settings`

    def _forget(self, *, setting: str, **kwargs: Any) -> None:
        if setting == self.setting:
            self._built.clear()

    def __iter__(self) -> Iterator[str]:
        return iter(getattr(settings, self.setting))

    def __contains__(self, alias: object) -> bool:
        return alias in getattr(settings, self.setting)

    def __getitem__(self, alias: str) -> T:
        """Return the backend of this alias.

        Raises:
            UnknownBackend: if the setting does not name the alias.
            ImproperlyConfigured: if its class cannot be imported or is of the wrong kind.
        """
        if alias in self._built:
            return self._built[alias]
        try:
            entry = getattr(settings, self.setting)[alias]
        except KeyError:
            known = ", ".join(sorted(self)) or "none"
            raise UnknownBackend(f"{self.setting} has no '{alias}'; it has: {known}.") from None
        try:
            # KeyError: no BACKEND is given. TypeError: an option that its class does not take.
            backend = import_string(entry["BACKEND"])(alias=alias, **entry.get("OPTIONS", {}))
        except (ImportError, KeyError, TypeError) as error:
            raise ImproperlyConfigured(
                f"{self.setting}['{alias}'] cannot be built: {error}"
            ) from error
        if not isinstance(backend, self.base):
            raise ImproperlyConfigured(
                f"{self.setting}['{alias}'] is no {self.base.__name__}: {entry['BACKEND']}."
            )
        # Two threads may both build one; the last stays, and either works.
        self._built[alias] = backend
        return backend

    def check(self, error_id: str) -> list[CheckMessage]:
        """Report each backend that cannot be built, and what the others find amiss themselves."""
        messages: list[CheckMessage] = []
        for alias in self:
            try:
                backend = self[alias]
            except ImproperlyConfigured as error:
                messages.append(
                    Error(str(error), hint=f"Correct {self.setting} in the settings.", id=error_id)
                )
            else:
                messages.extend(getattr(backend, "check", list)())
        return messages

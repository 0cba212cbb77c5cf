"""Which permissions at Azure work, tried one by one; what is written for it is deleted again.

Each predictor and trainer tries its own (`probe`); the storages are tried here. What could name a
key says it without: of the errors of the blob storage only the kind is told.
"""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

from azure.core.exceptions import AzureError
from django.core.files.base import ContentFile
from django.core.files.storage import storages

from common.backends import PermissionCheck, check_permission
from predictions.predictors.base import predictors
from training.trainers.base import trainers

ALIASES = ("uploads", "misclassified", "models")


def check_permissions() -> Iterator[PermissionCheck]:
    """Try everything that is set, in the order in which it is needed."""
    for backends in (predictors, trainers):
        for alias in backends:
            yield from backends[alias].probe()
    for alias in ALIASES:
        if hasattr(storages[alias], "azure_container"):
            yield from _container(alias)
        else:
            yield PermissionCheck(f"storage {alias}", None, "not at Azure")


def _container(alias: str) -> Iterator[PermissionCheck]:
    """Make the container if it is missing, then write, read and delete a blob of our own."""
    storage: Any = storages[alias]
    name, data = f"check-azure/{uuid4()}.txt", b"Made by manage.py check_azure; it may be deleted."
    steps: dict[str, Callable[[], str]] = {
        "create": lambda: (
            "it was missing and was made, private" if storage.ensure_container() else "it is there"
        ),
        "write": lambda: storage.save(name, ContentFile(data)) and "a blob was written",
        "read": lambda: _read(storage, name, data),
        "delete": lambda: storage.delete(name) or "it was deleted again",
    }
    for step, attempt in steps.items():
        what = f"storage {alias}, container {storage.azure_container}: {step}"
        try:
            found = check_permission(what, attempt)
        except (AzureError, ValueError) as error:
            # The kind alone: the text may hold an address with a signature in it.
            found = PermissionCheck(what, False, type(error).__name__)
        yield found
        # Each step needs the one before: what follows would only fail as well.
        if not found.works:
            return


def _read(storage: Any, name: str, data: bytes) -> str:
    with storage.open(name) as file:
        if file.read() != data:
            raise OSError("What was read is not what was written.")
    return "it was read"

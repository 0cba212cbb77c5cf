"""Which of the permissions at Azure work, tried one by one; what is written there for it is deleted again.

What could name a key says it without: the errors of `common.custom_vision` carry none, and of those of the
blob storage only the kind is told.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from azure.core.exceptions import AzureError
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from PIL import Image

from common.custom_vision import encoding
from common.custom_vision.errors import CustomVisionError, Refused
from predictions.predictors.base import predictors
from training.trainers.base import trainers

SECONDS = 20.0
NOBODY = str(UUID(int=0))
ALIASES = ("uploads", "misclassified", "models")


@dataclass(frozen=True)
class Finding:
    """One permission; `works` is None where it could not be tried, which is no failure."""

    what: str
    works: bool | None
    text: str


class NotTried(Exception):
    """There is nothing to try this with."""


def findings() -> Iterator[Finding]:
    """Try everything that is set, in the order in which it is needed."""
    yield _tried("prediction key", _prediction_key)
    yield _tried("training key", _training_key)
    yield _tried("publish resource id", _publish_target)
    for alias in ALIASES:
        if hasattr(storages[alias], "azure_container"):
            yield from _container(alias)
        else:
            yield Finding(f"storage {alias}", None, "not at Azure")


def _tried(what: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, attempt())
    except NotTried as reason:
        return Finding(what, None, str(reason))
    except (CustomVisionError, OSError) as error:
        return Finding(what, False, str(error))
    except (AzureError, ValueError) as error:
        return Finding(what, False, type(error).__name__)


def _prediction_key() -> str:
    """Ask about a project that nobody has: with a right key the service says just that."""
    client = _client(predictors["azure"], "prediction")
    picture = encoding.encode(Image.new("RGB", (32, 32)))
    try:
        client.call("classify_image_with_no_store", NOBODY, "none", picture, within=SECONDS)
    except Refused as error:
        if not error.reason.startswith(("NotFound", "BadRequest")):
            raise
    return f"accepted by {client.resource.endpoint}"


def _training_key() -> str:
    client = _client(trainers["azure"], "training")
    return f"accepted by {client.resource.endpoint}, which has {len(_projects(client))} projects"


def _publish_target() -> str:
    """Look whether something is published to the resource; to publish for a try might change what clients are told."""
    trainer: Any = trainers["azure"]
    client = _client(trainer, "training")
    if not trainer.resource_id:
        raise NotTried("not set: AZURE_CUSTOM_VISION_PREDICTION_RESOURCE_ID")
    for project in _projects(client):
        for iteration in client.call("get_iterations", str(project.id), within=SECONDS):
            if (iteration.original_publish_resource_id or "").lower() == trainer.resource_id.lower():
                return f"models are published to it, for example “{iteration.publish_name}”"
    raise NotTried("set; whether it works shows at the first publication, as nothing is published to it yet")


def _projects(client: Any) -> list[Any]:
    return list(client.call("get_projects", within=SECONDS))


def _client(backend: Any, area: str) -> Any:
    resource = backend.client.resource
    missing = [name for name, value in (("ENDPOINT", resource.endpoint), ("KEY", resource.key)) if not value]
    if missing:
        names = [f"AZURE_CUSTOM_VISION_{area.upper()}_{name}" for name in missing]
        raise NotTried(f"not set: {', '.join(names)}")
    return backend.client


def _container(alias: str) -> Iterator[Finding]:
    """Write, read and delete a blob of our own; the container is made at the first write, if it may be."""
    storage: Any = storages[alias]
    name, data = f"check-azure/{uuid4()}.txt", b"Made by manage.py check_azure; it may be deleted."
    steps: dict[str, Callable[[], str]] = {
        "create": lambda: _make(storage),
        "write": lambda: storage.save(name, ContentFile(data)) and "a blob was written",
        "read": lambda: _read(storage, name, data),
        "delete": lambda: storage.delete(name) or "it was deleted again",
    }
    for step, attempt in steps.items():
        found = _tried(f"storage {alias}, container {storage.azure_container}: {step}", attempt)
        yield found
        if not found.works:
            return


def _make(storage: Any) -> str:
    return "it was missing and was made, private" if storage.ensure_container() else "it is there"


def _read(storage: Any, name: str, data: bytes) -> str:
    with storage.open(name) as file:
        if file.read() != data:
            raise OSError("What was read is not what was written.")
    return "it was read"

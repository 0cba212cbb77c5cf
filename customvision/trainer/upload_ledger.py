"""What we have sent to a project of Custom Vision: samples by image, and our tags and iterations.

The service does not tell what an image was made from, so this is stored in `STORAGES["models"]`,
beside the local bundles. It may be lost or outdated without harm: what it names is compared with
what the service has, and what it lacks is sent again and recognised there as a duplicate.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from django.core.files.storage import storages

FOLDER = "custom-vision"


@dataclass
class UploadLedger:
    """The ledger of one project; `images` maps a sample's SHA-256 to the id of its image."""

    project: str
    images: dict[str, str] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    iterations: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, project: str) -> "UploadLedger":
        """Return the ledger of a project, empty if there is none that can be read."""
        try:
            with storages["models"].open(_name(project)) as file:
                kept = json.loads(file.read())
            return cls(project, dict(kept["images"]), list(kept["tags"]), list(kept["iterations"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return cls(project)

    def save(self) -> None:
        content = {"images": self.images, "tags": self.tags, "iterations": self.iterations}
        storage: Any = storages["models"]
        storage.save_with_metadata(_name(self.project), json.dumps(content).encode(), {})


def _name(project: str) -> str:
    return f"{FOLDER}/{project}.json"

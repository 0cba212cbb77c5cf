"""A Custom Vision resource: where it is and what opens it."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Resource:
    """Where a resource is and what opens it. Its key is in no repr; `area` is "prediction" or
    "training".
    """

    area: str
    endpoint: str
    key: str = field(repr=False)

    @property
    def header(self) -> str:
        return f"{self.area.capitalize()}-Key"

    def unset(self) -> list[str]:
        """Return the settings that are missing for this resource to be asked at all."""
        given = {"ENDPOINT": self.endpoint, "KEY": self.key}
        return [
            f"AZURE_CUSTOM_VISION_{self.area.upper()}_{name}"
            for name, value in given.items()
            if not value
        ]

    def problem(self) -> str:
        """Return what is wrong with the endpoint, or "". Without TLS a key may travel on this
        machine only.
        """
        parts = urlsplit(self.endpoint)
        if not self.endpoint or (parts.scheme == "https" and parts.hostname):
            return ""
        if parts.scheme == "http" and parts.hostname in LOOPBACK:
            return ""
        return f"is '{self.endpoint}', which is no address that begins with https://"

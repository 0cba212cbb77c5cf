"""A Custom Vision resource: where it is and what opens it."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Resource:
    """Endpoint and key of a resource; `area` is "prediction" or "training"."""

    area: str
    endpoint: str
    key: str = field(repr=False)  # never in a log or an error page

    @property
    def header(self) -> str:
        return f"{self.area.capitalize()}-Key"

    def unset(self) -> list[str]:
        """Return the names of the settings that this resource lacks."""
        given = {"ENDPOINT": self.endpoint, "KEY": self.key}
        return [
            f"AZURE_CUSTOM_VISION_{self.area.upper()}_{name}"
            for name, value in given.items()
            if not value
        ]

    def problem(self) -> str:
        """Return what is wrong with the endpoint, or ""."""
        parts = urlsplit(self.endpoint)
        if not self.endpoint or (parts.scheme == "https" and parts.hostname):
            return ""
        # Without TLS the key must not leave this machine
        if parts.scheme == "http" and parts.hostname in LOOPBACK:
            return ""
        return f"is '{self.endpoint}', which is no address that begins with https://"

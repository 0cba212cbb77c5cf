"""What this app does in the background: the modules that define its tasks."""

from customvision.api import deletion, exports  # noqa: F401

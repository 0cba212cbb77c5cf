"""What this app does in the background: the modules that define its tasks."""

from review import queue  # noqa: F401

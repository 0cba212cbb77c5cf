"""The modules that define this app's background tasks."""

from review import queue  # noqa: F401

"""What this app does in the background: the modules that define its tasks."""

from customvision.importer import import_jobs  # noqa: F401

"""The modules that define this app's background tasks."""

from customvision.importer import import_jobs  # noqa: F401

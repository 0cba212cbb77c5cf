"""The mark of a restore that has not come to its end."""

from pathlib import Path

from django.conf import settings


def mark_path() -> Path:
    """Return the file that is there while a restore is not finished; it holds the archive's id."""
    return Path(settings.DATA_DIR, "unfinished-restore")

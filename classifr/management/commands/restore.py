"""`manage.py restore`: brings back what `manage.py backup` wrote."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from classifr.backup.errors import BackupError
from classifr.backup.restore import restore


class Command(BaseCommand):
    help = (
        "Makes the site what an archive of `backup` says, on an empty machine or with --replace. "
        "Stop the web server and the worker first. If it is interrupted, run it again."
    )
    requires_system_checks = []  # the database may be what is broken

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--replace", action="store_true", help="delete what is here and not in the archive"
        )

    def handle(self, *args: Any, file: Path, replace: bool, **options: Any) -> None:
        try:
            done = restore(file, passphrase=settings.BACKUP_PASSPHRASE, replace=replace)
        except (BackupError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Restored as of {done.taken_at}: the database and {done.files} files")
        for name in done.missing:
            self.stderr.write(f"This file was lost before the backup already: {name}")
        if done.other_secret_key:
            self.stderr.write(
                "SECRET_KEY is another one than when the archive was made: sessions end, and "
                "secrets that were encrypted cannot be read. The key of then is in "
                f"{settings.DATA_DIR}/secret_key."
            )

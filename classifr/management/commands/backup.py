"""`manage.py backup`: everything in one archive, while people work."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from classifr.backup.backup import back_up
from classifr.backup.errors import BackupError


class Command(BaseCommand):
    help = (
        "Writes the database, all pictures and models and the secret key into one archive. The "
        "site may keep running."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the archive; it must not exist yet")
        parser.add_argument(
            "--encrypt", action="store_true", help="encrypt it with BACKUP_PASSPHRASE"
        )

    def handle(self, *args: Any, file: Path, encrypt: bool, **options: Any) -> None:
        if encrypt and not settings.BACKUP_PASSPHRASE:
            raise CommandError("Set BACKUP_PASSPHRASE, or BACKUP_PASSPHRASE_FILE, to encrypt.")
        try:
            made = back_up(file, passphrase=settings.BACKUP_PASSPHRASE if encrypt else "")
        except (BackupError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{file}: the database and {made.files} files")
        for name in made.missing:
            self.stderr.write(f"The site itself has lost a file that it should have: {name}")

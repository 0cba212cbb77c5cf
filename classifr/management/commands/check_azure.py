"""`manage.py check_azure`: tries the connection, and says which permissions work."""

from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from classifr import azure_permissions

WORDS = {True: "works", False: "FAILS", None: "-    "}  # None: could not be tried


class Command(BaseCommand):
    help = (
        "Tries the keys of Custom Vision and the blob containers, and says of each permission "
        "whether it works."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        failed = 0  # what could not be tried is no failure
        styles: dict[bool | None, Callable[[str], str]] = {
            True: self.style.SUCCESS,
            False: self.style.ERROR,
            None: str,
        }
        for found in azure_permissions.check_permissions():
            self.stdout.write(
                f"{styles[found.works](WORDS[found.works])} {found.what}: {found.text}"
            )
            failed += found.works is False
        if failed:
            raise CommandError(f"What fails: {failed}. docs/azure.md says what each one needs.")

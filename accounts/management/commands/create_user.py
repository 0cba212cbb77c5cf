import os
import sys
from getpass import getpass
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import user_admin
from accounts.roles import Role
from common.errors import DomainError

PASSWORD_VARIABLE = "CLASSIFR_USER_PASSWORD"  # noqa: S105 (the name of a variable)


class Command(BaseCommand):
    help = f"Make a user with a role. The password is asked for, or taken from {PASSWORD_VARIABLE}."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the user name")
        parser.add_argument(
            "--role", choices=list(Role), default=Role.USER, help="default: %(default)s"
        )
        parser.add_argument("--email", default="", help="needed to reset a forgotten password")

    def handle(self, *, name: str, role: str, email: str, **options: Any) -> None:
        password = os.environ.get(PASSWORD_VARIABLE) or self._ask()
        try:
            user_admin.create_user(name, Role(role), email=email, password=password)
        except DomainError as error:
            raise CommandError(str(error)) from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(self.style.SUCCESS(f"Made the {role} {name}."))

    def _ask(self) -> str:
        # Without a terminal, as in a container, `getpass` would read a line that nobody writes
        if not sys.stdin.isatty():
            raise CommandError(
                f"Set {PASSWORD_VARIABLE}: there is no terminal to ask for the password at."
            )
        password = getpass("Password: ")
        if getpass("Password (again): ") != password:
            raise CommandError("The two passwords are not the same.")
        return password

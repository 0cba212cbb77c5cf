from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import tokens
from accounts.models import User
from common.errors import DomainError


class Command(BaseCommand):
    help = "Make an API token for a user and print it, and nothing else. It is not shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="the user name")
        parser.add_argument(
            "--name", default="create_token", help="what the token is for (default: %(default)s)"
        )

    def handle(self, *, user: str, name: str, **options: Any) -> None:
        owner = User.objects.filter(username=user).first()
        if owner is None:
            raise CommandError(f"There is no user {user!r}. Make one with create_user.")
        try:
            _token, text = tokens.create_token(owner, name=name)
        except DomainError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(text)  # and nothing else, so that a script can take it

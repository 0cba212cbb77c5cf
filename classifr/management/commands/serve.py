"""`manage.py serve`: the web server and the worker, together in one process tree."""

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from classifr.supervision import NeverCameUp, PortTaken, Supervisor, default_port, ensure_free


class Command(BaseCommand):
    help = "Runs the web server and the worker, starts either again when it dies, and ends both together."

    requires_system_checks = ()  # they take half a second, in which the web server can start already

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=default_port(), help="Default: %(default)s, or $PORT.")
        parser.add_argument("--bind", default="127.0.0.1", help="Address to listen on (default: %(default)s).")
        parser.add_argument(
            "--show-demo", action="store_true", help="Show the demo users and their passwords when all is up."
        )

    def handle(self, *, port: int, bind: str, show_demo: bool, **options: Any) -> None:
        try:
            ensure_free(bind, port)
        except PortTaken as error:
            raise CommandError(
                f"Port {port} of {bind} cannot be used: {error}. End what listens there, or choose another port "
                f"with --port (or PORT={port + 1} make run)."
            ) from error
        supervisor = Supervisor(bind, port)
        for how in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(how, lambda number, frame: supervisor.stopping.set())
        try:
            supervisor.run(meanwhile=self._check, when_answering=lambda: self._welcome(supervisor.address, show_demo))
        except NeverCameUp as error:
            raise CommandError("The web server does not start; the lines above say why.") from error
        self.stdout.write("Stopped.")

    def _check(self) -> None:
        self.check()
        self.check_migrations()

    def _welcome(self, address: str, show_demo: bool) -> None:
        self.stdout.write("")
        if show_demo:
            from classifr import demo

            self.stdout.write(demo.users_table())
        self.stdout.write(self.style.SUCCESS(f"Classifr answers at {address} (Ctrl-C stops it)."))
        self.stdout.flush()

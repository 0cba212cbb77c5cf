"""`manage.py serve`: the web server and the worker, together in one process tree."""

import signal
import threading
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, connection

from classifr.supervision import (
    PortInUse,
    StartupFailed,
    Supervisor,
    default_port,
    ensure_port_free,
    is_loopback,
)

DATABASE_PAUSE_SECONDS = 2


class Command(BaseCommand):
    help = (
        "Runs the web server and the worker, starts either again when it dies, and ends both "
        "together."
    )

    # they take half a second, in which the web server can start already
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--port", type=int, default=default_port(), help="Default: %(default)s, or $PORT."
        )
        parser.add_argument(
            "--bind", default="127.0.0.1", help="Address to listen on (default: %(default)s)."
        )
        parser.add_argument(
            "--show-demo",
            action="store_true",
            help="Show the demo users and their passwords when all is up.",
        )

    def handle(self, *, port: int, bind: str, show_demo: bool, **options: Any) -> None:
        try:
            ensure_port_free(bind, port)
        except PortInUse as error:
            raise CommandError(
                f"Port {port} of {bind} cannot be used: {error}. End what listens there, or choose "
                f"another port "
                f"with --port (or PORT={port + 1} make run)."
            ) from error
        if not is_loopback(bind):
            self.stderr.write(
                f"Classifr listens on {bind}: whoever reaches this machine reaches it, in plain "
                f"HTTP. For others than "
                "yourself put a proxy in front of it that speaks HTTPS and buffers requests "
                "(docs/deployment.md)."
            )
        supervisor = Supervisor(bind, port)
        for how in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(how, lambda number, frame: supervisor.stopping.set())
        try:
            supervisor.run(
                meanwhile=self._check_system,
                when_answering=lambda: self._welcome(supervisor.address, show_demo),
            )
        except StartupFailed as error:
            raise CommandError("The web server does not start; the lines above say why.") from error
        self.stdout.write("Stopped.")

    def _check_system(self) -> None:
        self.check()
        trouble = self._database_trouble()
        if not trouble:
            return
        self.stderr.write(f"The database does not answer, Classifr waits for it: {trouble}")

        def wait() -> None:
            while self._database_trouble():
                time.sleep(DATABASE_PAUSE_SECONDS)
            self.stdout.write("The database answers.")

        # Beside the rest: the web server answers already, with what it can do without.
        threading.Thread(target=wait, daemon=True).start()

    def _database_trouble(self) -> str:
        """Look at the migrations of the database, and return why that could not be done, if so."""
        try:
            self.check_migrations()
        except (DatabaseError, InterfaceError) as error:
            return str(error).strip() or type(error).__name__
        finally:
            connection.close()  # nothing else here needs the database
        return ""

    def _welcome(self, address: str, show_demo: bool) -> None:
        self.stdout.write("")
        if show_demo:
            from classifr import demo  # imports the backbones, which `serve` has no other use for

            try:
                self.stdout.write(demo.format_users())
            except (DatabaseError, InterfaceError):
                self.stdout.write(
                    "The demo users can be shown when the database answers: end this, and start it "
                    "again then."
                )
        self.stdout.write(self.style.SUCCESS(f"Classifr answers at {address} (Ctrl-C stops it)."))
        self.stdout.flush()

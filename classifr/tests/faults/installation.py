"""A whole installation that a test may kill: web server, worker, database, storages."""

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg2
import requests

from classifr.tests.process_tree import ROOT, environment, manage
from predictions.tests.factories import PASSWORD, make_picture_bytes
from scripts.services import answers, free_port, wait_until

LONGEST_ANSWER_SECONDS = 25
SEED = """
from accounts import tokens
from predictions.tests.factories import make_live_model, make_project, make_user
user = make_user("maintainer", username="cook")
make_live_model(make_project("Dishes", slug="dishes", trainer="dummy"))
print(tokens.create_token(user, name="faults")[1])
"""


class Installation:
    """One data folder, the environment that goes with it, and the processes that run on it.

    Everything stops with `close`. `variables` are those of the environment, such as DATABASE_URL.
    """

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.variables = {"LOG_LEVEL": "WARNING", **variables}
        self.environment = environment(folder) | self.variables
        self.processes: list[subprocess.Popen[bytes]] = []
        self.url = ""
        self.token = ""

    def prepare(self) -> None:
        """Make tables, a maintainer with a token and the project `dishes` with the dummy model."""
        manage(self.folder, "migrate", "-v0", **self.variables)
        self.token = manage(self.folder, "shell", "-v0", "-c", SEED, **self.variables).split()[-1]

    def start_web(self, *options: str) -> subprocess.Popen[bytes]:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        gunicorn = [
            "-m",
            "gunicorn",
            "-c",
            "python:classifr.gunicorn",
            "-b",
            f"127.0.0.1:{port}",
            *options,
            "classifr.wsgi",
        ]
        web = self._start(gunicorn)
        wait_until(lambda: answers(port), "the web server", timeout_seconds=60)
        return web

    def start_worker(self, *options: str) -> subprocess.Popen[bytes]:
        return self._start(["-m", "classifr.tests.faults.quick_worker", *options])

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        with open(self.folder / "output", "ab") as output:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
            )
        self.processes.append(process)
        return process

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request as the maintainer, by a token; never waits longer than half a minute."""
        headers = {"Authorization": f"Token {self.token}"}
        return requests.request(method, self.url + path, headers=headers, timeout=30, **options)

    def predict(self, data: bytes | None = None) -> requests.Response:
        picture = {"file": ("dinner.jpg", data or make_picture_bytes(), "image/jpeg")}
        return self.ask("POST", "/api/v1/projects/dishes/predict", files=picture)

    def say_nok(self, prediction: str, category: str = "") -> requests.Response:
        verdict = {"verdict": "NOK", "category": category}
        return self.ask("POST", f"/api/v1/predictions/{prediction}/feedback", json=verdict)

    def rows(self, query: str) -> list[tuple]:
        """Return what the database says to a query, asked from outside of Django."""
        url = self.variables.get("DATABASE_URL")
        connection = (
            psycopg2.connect(url)
            if url
            else sqlite3.connect(self.folder / "classifr.sqlite3", timeout=20)
        )
        try:
            cursor = connection.cursor()
            cursor.execute(query)
            return list(cursor.fetchall())
        finally:
            connection.close()

    def is_idle(self) -> bool:
        return not self.rows("SELECT 1 FROM common_job WHERE status IN ('waiting', 'running')")

    def signed_in(self) -> requests.Session:
        """Return a browser, so to speak, in which the maintainer has logged in."""
        session = requests.Session()
        page = f"{self.url}/account/login/"
        form_page = session.get(page, timeout=30)
        assert form_page.status_code == 200, form_page.text
        form = {
            "login": "cook",
            "password": PASSWORD,
            "csrfmiddlewaretoken": session.cookies["csrftoken"],
        }
        answer = session.post(page, data=form, headers={"Referer": page}, timeout=30)
        assert "sessionid" in session.cookies, answer.text
        return session

    def output(self) -> str:
        return (self.folder / "output").read_text(errors="replace")

    def close(self) -> None:
        for process in self.processes:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process as a power cut would, and wait until it is gone."""
    process.kill()
    process.wait(timeout=30)

"""One command starts the web server and the worker, keeps both alive and leaves nothing behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
import requests
from django.core.management import CommandError, call_command

from classifr import supervision
from classifr.management.commands import serve
from classifr.supervision import PortInUse, StartupFailed, Supervisor, ensure_port_free
from classifr.tests.process_tree import ROOT, Tree, manage
from scripts.services import Postgres, free_port, wait_until

PASSWORD = "correct horse battery staple"  # noqa: S105 (of a test)


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Path:
    """An empty database file, migrated once for all tests."""
    folder = tmp_path_factory.mktemp("migrated")
    manage(folder, "migrate", "-v0")
    return folder / "classifr.sqlite3"


@pytest.fixture
def tree(tmp_path, database) -> Iterator[Tree]:
    shutil.copy(database, tmp_path)
    tree = Tree(tmp_path)
    try:
        wait_until(tree.is_complete, "serve")
        yield tree
    finally:
        tree.process.kill()
        tree.process.wait()
        wait_until(tree.is_gone, "the end of all children")


def has_died(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.outer
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_and_ends_everything_when_told(tree, how):
    assert tree.answers()
    tree.process.send_signal(how)
    assert tree.process.wait(timeout=15) == 0
    assert tree.is_gone()


@pytest.mark.outer
def test_its_children_end_even_after_a_kill(tree):
    tree.process.kill()
    tree.process.wait()
    wait_until(tree.is_gone, "the end of all children", timeout_seconds=10)


@pytest.mark.outer
def test_children_that_die_are_started_again(tree):
    before = tree.children()
    for pid in before["web"] + before["worker"]:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(has_died(pid) for pid in before["web"] + before["worker"]), "their end")
    wait_until(lambda: tree.answers() and bool(tree.children()["worker"]), "the next ones")


@pytest.mark.outer
def test_a_database_that_comes_later_is_waited_for(tmp_path):
    with Postgres() as postgres:  # of this test's own: others would notice that it stops
        url = postgres.fresh_database()
        manage(tmp_path, "migrate", "-v0", DATABASE_URL=url)
        postgres.stop()
        tree = Tree(tmp_path, DATABASE_URL=url)
        try:
            wait_until(tree.is_complete, "serve")
            assert not tree.answers()
            assert "The database does not answer, Classifr waits for it" in tree.output.read_text()
            postgres.start()
            wait_until(tree.answers, "an answer")
            wait_until(lambda: "The database answers." in tree.output.read_text(), "the news of it")
        finally:
            tree.process.kill()
            tree.process.wait()
            wait_until(tree.is_gone, "the end of all children")


class Children:
    """Stands for `subprocess.Popen`: processes that end at once, as they are told."""

    def __init__(self, *ends: int | OSError) -> None:
        self.ends = list(ends)
        self.started = 0

    def __call__(self, *arguments: object, **options: object) -> "Children":
        self.started += 1
        self.returncode = self.ends.pop(0) if self.ends else None
        if isinstance(self.returncode, OSError):
            raise self.returncode
        return self

    def poll(self) -> int | None:
        return self.returncode

    def terminate(self) -> None:
        self.returncode = 0

    def wait(self, timeout: float) -> None:
        pass


@pytest.fixture
def run_with(monkeypatch) -> Callable[[Children], Supervisor]:
    """Run a supervisor, without pauses, of these web servers; it stops when the last one stays."""

    def run(children: Children) -> Supervisor:
        monkeypatch.setattr(supervision, "FIRST_PAUSE_SECONDS", 0.0)
        monkeypatch.setattr(supervision.subprocess, "Popen", children)
        supervisor = Supervisor("127.0.0.1", free_port())
        monkeypatch.setattr(supervisor, "worker", Mock())
        monkeypatch.setattr(
            supervisor.stopping,
            "wait",
            lambda seconds: not children.ends and children.poll() is None,
        )
        supervisor.run(meanwhile=lambda: None, when_answering=lambda: None)
        return supervisor

    return run


def test_a_web_server_that_is_killed_before_it_answers_is_started_again(run_with):
    children = Children(
        -signal.SIGKILL, -signal.SIGKILL, -signal.SIGTERM, 0, OSError(12, "Cannot allocate memory")
    )
    run_with(children)
    assert children.started == 6


def test_a_web_server_that_gives_up_by_itself_ends_everything(run_with):
    children = Children(1, 3, 1)
    with pytest.raises(StartupFailed):
        run_with(children)
    assert children.started == 3


@pytest.mark.outer
def test_the_web_processes_count_together(tmp_path, database, monkeypatch):
    for name, value in {"WEB_CONCURRENCY": "2", "API_RATE": "4/h"}.items():
        monkeypatch.setenv(name, value)
    shutil.copy(database, tmp_path)
    manage(
        tmp_path,
        "create_user",
        "ann",
        "--role",
        "user",
        "--email",
        "ann@example.org",
        CLASSIFR_USER_PASSWORD=PASSWORD,
    )
    token = manage(tmp_path, "create_token", "ann").strip()
    tree = Tree(tmp_path)
    try:
        wait_until(tree.is_complete, "serve")
        wait_until(
            lambda: len(tree.children()["web"]) == 3, "two processes and the one that tends them"
        )
        address = f"{tree.url}/api/v1/projects/"
        answers = [
            requests.get(address, headers={"Authorization": f"Token {token}"}, timeout=30)
            for _ in range(16)
        ]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 12
    finally:
        tree.process.kill()
        tree.process.wait()
        wait_until(tree.is_gone, "the end of all children")


@pytest.mark.outer
def test_a_second_one_on_the_same_port_says_so(tree):
    command = [sys.executable, "manage.py", "serve", "--port", str(tree.port)]
    second = subprocess.run(command, cwd=ROOT, env=tree.environment, capture_output=True, text=True)
    assert second.returncode == 1
    assert f"Port {tree.port} of 127.0.0.1 cannot be used" in second.stderr
    assert tree.answers()


@pytest.mark.outer
def test_a_wrong_setting_ends_everything_with_its_reason(tmp_path, database, monkeypatch):
    monkeypatch.setenv("UPLOAD_QUOTA", "0")
    shutil.copy(database, tmp_path)
    tree = Tree(tmp_path)
    assert tree.process.wait(timeout=60) == 1
    assert "UPLOAD_QUOTA is 0." in tree.output.read_text()
    assert tree.is_gone()


def test_a_taken_port_is_refused_with_a_way_out():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse):
            ensure_port_free("127.0.0.1", port)
        with pytest.raises(CommandError, match="choose another port"):
            call_command("serve", "--port", str(port))


@pytest.mark.parametrize(
    ("bind", "warned"),
    [("0.0.0.0", True), ("192.0.2.1", True), ("::", True), ("example.com", True)]  # noqa: S104
    + [
        ("127.0.0.1", False),
        ("::1", False),
        ("[::1]", False),
        ("localhost", False),
        ("127.8.8.8", False),
    ],
)
def test_who_listens_for_others_is_told_of_a_proxy(monkeypatch, capsys, bind, warned):
    monkeypatch.setattr(serve, "ensure_port_free", lambda bind, port: None)
    monkeypatch.setattr(serve.signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(serve.Supervisor, "run", lambda self, **options: None)
    call_command("serve", "--bind", bind)
    assert ("put a proxy in front" in capsys.readouterr().err) == warned


def test_a_free_port_is_accepted():
    ensure_port_free("127.0.0.1", free_port())

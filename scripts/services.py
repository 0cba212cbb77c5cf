"""Real servers for tests and measurements: PostgreSQL, Azurite and Redis on free loopback ports,
gone afterwards.

    python -m scripts.services postgres azurite -- COMMAND ...

runs a command with DATABASE_URL, AZURE_STORAGE_CONNECTION_STRING and CACHE_URL set to the servers
that were named.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self
from uuid import uuid4

import psycopg2

ROOT = Path(__file__).resolve().parent.parent
AZURITE = ROOT / ".tools/node_modules/azurite/dist/src/blob/main.js"
# The well-known account of the emulator, the same on every machine
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

SYSTEM_PATH = os.environ.get("PATH", "") + ":/usr/sbin"  # where Debian has what only root runs


class Missing(Exception):
    """A server program is not installed; the message says how to get it."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(ready: Callable[[], bool], what: str, *, timeout_seconds: float = 30) -> None:
    """Return when `ready` says so. Raises TimeoutError naming what was waited for."""
    give_up_at = time.monotonic() + timeout_seconds
    while not ready():
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"{what} did not come up within {timeout_seconds} s")
        time.sleep(0.05)


def answers(port: int) -> bool:
    """Tell whether something accepts connections on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """A server process with a folder of its own. Stopped and started again it keeps its port and
    its data.
    """

    name = "server"
    start_seconds = 30.0

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"classifr-{self.name}-"))
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Return the command line that serves on `self.port` out of `self.folder`."""
        raise NotImplementedError

    def start(self) -> None:
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        wait_until(lambda: answers(self.port), self.name, timeout_seconds=self.start_seconds)

    def stop(self) -> None:
        """End it in the orderly way, and wait until it is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with SIGKILL, as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=30)
            self.process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Azurite(Server):
    """The emulator of Azure Blob Storage."""

    name = "azurite"

    @property
    def connection_string(self) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
            f"BlobEndpoint=http://127.0.0.1:{self.port}/{ACCOUNT};"
        )

    def command(self) -> list[str]:
        node = shutil.which("node")
        if node is None or not AZURITE.exists():
            raise Missing("Azurite is not installed: run `make tools`.")
        options = [
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            str(self.port),
            "--location",
            str(self.folder / "data"),
        ]
        # The Python client speaks a newer version of the protocol than Azurite lists.
        return [
            node,
            str(AZURITE),
            *options,
            "--silent",
            "--disableTelemetry",
            "--skipApiVersionCheck",
        ]


class Mlflow(Server):
    """A server of MLflow, from a virtual environment of its own."""

    name = "mlflow"
    start_seconds = 180.0  # it imports much, and makes its tables first

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        python = Path(os.environ.get("MLFLOW", ROOT / ".tools/mlflow")) / "bin/python"
        if not python.exists():
            raise Missing("MLflow is not installed: run `make tools`.")
        # What `mlflow server` starts, without the processes that it starts beside it and leaves
        # behind when it is stopped
        facts = {
            "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{self.folder}/mlflow.db",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": str(self.folder / "artifacts"),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        app = "mlflow.server.fastapi_app:app"
        environment = [f"{name}={value}" for name, value in facts.items()]
        return ["env", *environment, str(python), "-m", "uvicorn", *address, app]


class Redis(Server):
    """A cache that several processes share."""

    name = "redis"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        program = shutil.which("redis-server")
        if program is None:
            raise Missing("redis-server is not installed: run `make tools`.")
        return [
            program,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]


class Prometheus(Server):
    """Prometheus as `folder` configures it, but asking a server of ours, every second."""

    name = "prometheus"

    def __init__(self, folder: Path, *, target: str, token: str) -> None:
        if shutil.which("prometheus") is None:
            raise Missing("prometheus is not installed: run `make tools`.")
        super().__init__()
        shutil.copytree(folder, self.folder, dirs_exist_ok=True)
        (self.folder / "metrics_token").write_text(token)
        settings = (self.folder / "prometheus.yml").read_text()
        settings = settings.replace("127.0.0.1:8000", target.removeprefix("http://"))
        (self.folder / "prometheus.yml").write_text(settings.replace("30s", "1s"))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [
            "prometheus",
            f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]


class Nginx(Server):
    """nginx with these blocks `server`, for which `PORT` is the port and `CERTIFICATE` a folder."""

    name = "nginx"

    def __init__(self, servers: str) -> None:
        if shutil.which("nginx", path=SYSTEM_PATH) is None:
            raise Missing("nginx is not installed: run `make tools`.")
        super().__init__()
        _make_certificate(self.folder)
        servers = servers.replace("PORT", str(self.port)).replace("CERTIFICATE", str(self.folder))
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in kinds)
        user = "user root;\n" if os.geteuid() == 0 else ""  # the folder is nobody else's
        (self.folder / "nginx.conf").write_text(
            f"{user}daemon off;\nworker_processes 1;\npid {self.folder}/pid;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{servers}\n}}\n"
        )

    def command(self) -> list[str]:
        nginx = shutil.which("nginx", path=SYSTEM_PATH) or "nginx"
        configuration = str(self.folder / "nginx.conf")
        return [nginx, "-p", str(self.folder), "-e", "stderr", "-c", configuration]


class Caddy(Server):
    """Caddy with these sites, for which `PORT` is the port; it is its own authority."""

    name = "caddy"

    def __init__(self, sites: str) -> None:
        if shutil.which("caddy") is None:
            raise Missing("caddy is not installed: run `make tools`.")
        super().__init__()
        (self.folder / "Caddyfile").write_text(
            "{\nadmin off\nauto_https disable_redirects\nlocal_certs\nskip_install_trust\n}\n"
            + sites.replace("PORT", str(self.port))
        )

    def command(self) -> list[str]:
        home = [f"HOME={self.folder}", f"XDG_DATA_HOME={self.folder}"]
        configuration = str(self.folder / "Caddyfile")
        run = ["run", "--config", configuration, "--adapter", "caddyfile"]
        return ["env", *home, "caddy", *run]


def _make_certificate(folder: Path) -> None:
    """Write a certificate of localhost and its key, as Let's Encrypt names them."""
    key = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(folder / "privkey.pem")]
    certificate = [
        "-x509",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-out",
        str(folder / "fullchain.pem"),
    ]
    subprocess.run(["openssl", "req", *key, *certificate], check=True, capture_output=True)


class Postgres(Server):
    """PostgreSQL; it refuses to run as root, so root lends it the account of the system package."""

    name = "postgres"

    def __init__(self) -> None:
        programs = sorted(
            Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name)
        )
        if not programs:
            raise Missing("PostgreSQL is not installed: run `make tools`.")
        super().__init__()
        self.programs = programs[-1]
        self.account = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self.account:
            shutil.chown(self.folder, "postgres")
        self._run(
            "initdb",
            "-D",
            self.data,
            "-U",
            "classifr",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "-N",
        )

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def url(self, database: str = "postgres") -> str:
        return f"postgres://classifr@127.0.0.1:{self.port}/{database}"

    def fresh_database(self) -> str:
        """Return the URL of a new, empty database."""
        name = f"classifr_{uuid4().hex[:12]}"
        connection = psycopg2.connect(self.url())
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        connection.close()
        return self.url(name)

    def start(self) -> None:
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c "
            f"unix_socket_directories={self.folder} -c fsync=off"
        )
        self._run(
            "pg_ctl", "-D", self.data, "-l", str(self.folder / "log"), "-w", "-o", options, "start"
        )

    def _end(self, how: signal.Signals) -> None:
        mode = "immediate" if how == signal.SIGKILL else "fast"
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self.account, str(self.programs / program), *arguments]
        # Output to a file: the server inherits it, and a pipe would stay open for as long as the
        # server lives.
        with open(self.folder / "setup.log", "ab") as log:
            done = subprocess.run(command, stdout=log, stderr=log, cwd=self.folder)
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{(self.folder / 'setup.log').read_text()}")


@contextmanager
def environment(names: Sequence[str]) -> Iterator[dict[str, str]]:
    """Run the servers of these names; yield the environment variables that lead to them."""
    variables = {}
    with ExitStack() as stack:
        for name in names:
            match name:
                case "postgres":
                    variables["DATABASE_URL"] = stack.enter_context(Postgres()).fresh_database()
                case "azurite":
                    azurite = stack.enter_context(Azurite())
                    variables["AZURE_STORAGE_CONNECTION_STRING"] = azurite.connection_string
                case "redis":
                    variables["CACHE_URL"] = stack.enter_context(Redis()).url
        yield variables


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("servers", nargs="+", choices=["postgres", "azurite", "redis"])
    own, command = sys.argv[1:], []
    if "--" in own:
        at = own.index("--")
        own, command = own[:at], own[at + 1 :]
    servers = parser.parse_args(own).servers
    if not command:
        parser.error("say which command to run, after `--`")
    with environment(servers) as variables:
        return subprocess.run(command, env={**os.environ, **variables}).returncode


if __name__ == "__main__":
    sys.exit(main())

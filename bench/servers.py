"""The servers that are measured: Classifr and its peers, started, asked and watched in the same
way.
"""

import base64
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from bench import environments, load, watching
from bench.installation import ROOT, running
from bench.load import Address, Load
from bench.models import Served
from bench.pictures import never_twice
from scripts.services import free_port

JPEG = {"Content-Type": "image/jpeg"}
BOUNDARY = "a-part-of-the-form"


@dataclass(frozen=True)
class Server:
    """A server that answers, what to ask it, and how long it took to its first answer."""

    name: str
    address: Address
    bodies: Iterator[bytes]
    pid: int
    ready_after: float

    def ask(self, *, clients: int, seconds: float) -> "Measured":
        """Put a load on it, and see what it takes from the processor meanwhile."""
        before = watching.cpu_seconds(self.pid)
        found = load.run(self.address, self.bodies, clients=clients, seconds=seconds)
        return Measured(found, (watching.cpu_seconds(self.pid) - before) / found.answers * 1000)

    def mebibytes(self) -> float:
        """Return what all its processes have in memory together."""
        return sum(watching.mebibytes(process.pid) for process in watching.tree(self.pid))

    def web_workers(self) -> list[float]:
        """Return the memory of each process of gunicorn's that answers requests, in MiB."""
        web = {process.pid for process in watching.tree(self.pid) if "gunicorn" in process.command}
        every = watching.tree(self.pid)
        return [
            watching.mebibytes(one.pid) for one in every if one.pid in web and one.parent in web
        ]


@dataclass(frozen=True)
class Measured:
    """A load, and the milliseconds of processor time that the server took for an answer."""

    load: Load
    cpu_ms: float


@dataclass(frozen=True)
class Peer:
    """Another server: its module and requirements under `bench/peers/`, where it answers, and in
    which form.
    """

    name: str
    module: str
    requirements: str = ""  # without: the project's own environment
    path: str = "/predict"
    headers: Sequence[tuple[str, str]] = tuple(JPEG.items())
    wrapped: Callable[[bytes], bytes] = bytes


def in_form(jpeg: bytes) -> bytes:
    """Return a form with the picture as its only file; RFC 7578."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="pictures"; '
        f'filename="picture.jpg"\r\n'
    )
    return (
        f"{head}Content-Type: image/jpeg\r\n\r\n".encode()
        + jpeg
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )


def in_v2_json(jpeg: bytes) -> bytes:
    """Return a request of the Open Inference Protocol (V2) with the picture in base64."""
    data = [base64.b64encode(jpeg).decode()]
    words = {
        "name": "picture",
        "shape": [1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
    }
    return json.dumps({"inputs": [words | {"data": data}]}).encode()


FLASK = Peer("Flask + model.predict", "flask_predict")
FASTAPI = Peer("FastAPI + model.predict", "fastapi_predict", "fastapi.txt")
FORM = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]
LITSERVE = Peer("LitServe", "litserve_predict", "litserve.txt", headers=FORM, wrapped=in_form)
BENTOML = Peer("BentoML", "bentoml_predict", "bentoml.txt", headers=FORM, wrapped=in_form)
MLSERVER = Peer(
    "MLServer",
    "mlserver_predict",
    "mlserver.txt",
    path="/v2/models/classifier/infer",
    headers=[("Content-Type", "application/json")],
    wrapped=in_v2_json,
)
RAY = Peer("Ray Serve", "ray_predict", "ray.txt")


@contextmanager
def classifr(served: Served, jpeg: bytes) -> Iterator[Server]:
    """Serve, web and worker, as `manage.py serve` does. Every picture is a new one for it."""
    port = free_port()
    command = [sys.executable, "manage.py", "serve", "--port", str(port)]
    address, folder = served.address(port), served.site.folder
    with _serving(
        "Classifr", command, served.site.environment, address, never_twice(jpeg), folder
    ) as it:
        yield it


@contextmanager
def peer(which: Peer, served: Served, jpeg: bytes, *, compiled: bool = False) -> Iterator[Server]:
    """Serve the same model by another server: the Keras model, or its LiteRT export.

    Raises:
        NotInstalled: its environment cannot be made here.
        NeverAnswered: it does not come up.
    """
    requirements = ROOT / "bench" / "peers" / which.requirements
    python = environments.python(requirements) if which.requirements else sys.executable
    port = free_port()
    model = served.compiled_model if compiled else served.keras_model
    environment = served.site.environment | {"PEER_MODEL": str(model), "PEER_PORT": str(port)}
    address = Address(port, which.path, dict(which.headers))
    command = [python, "-m", f"bench.peers.{which.module}"]
    with _serving(
        which.name, command, environment, address, repeat(which.wrapped(jpeg)), served.site.folder
    ) as it:
        yield it


@contextmanager
def _serving(
    name: str,
    command: Sequence[str],
    environment: dict[str, str],
    address: Address,
    bodies: Iterator[bytes],
    folder: Path,
) -> Iterator[Server]:
    def answers() -> bool:
        try:
            return bool(load.one_answer(address, next(bodies)))
        except (OSError, RuntimeError):
            return False

    log = folder / f"{address.port}.log"
    with running(command, environment, answers, log=log) as process:
        yield Server(name, address, bodies, process.pid, process.ready_after)

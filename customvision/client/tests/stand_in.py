"""The server: keys, faults, the record of what came, and links to pictures that expire."""

import hashlib
import hmac
import json
import os
import secrets
import socket
import struct
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4

from customvision.client.tests import faults, images, prediction, training
from customvision.client.tests.calls import ROUTES, Call, Route
from customvision.client.tests.faults import Fault, Refusal
from customvision.client.tests.world import Project

assert all((images, prediction, training)), "register the operations"
VERSIONS = {"training": "3.4-preview", "prediction": "3.1"}
KEY_HEADERS = {"training": "Training-Key", "prediction": "Prediction-Key"}
LINK_SECONDS = 24 * 3600


@dataclass
class Received:
    """A request as it came, and how it was answered (0: not at all)."""

    operation: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    status: int = 0
    body: Any = None
    pictures: list[str] = field(default_factory=list)  # SHA-256 of each that it brought
    took_effect: bool = False


class StandIn:
    """Custom Vision on a port of this machine.

    with StandIn() as service:
        service.fail("classify_image", faults.too_many("2"), faults.reset())   # the next two calls
        service.fail("train_project", faults.server_error(), always=True)     # until `heal()`
    """

    def __init__(self) -> None:
        self.training_key = f"training-{secrets.token_hex(16)}"
        self.prediction_key = f"prediction-{secrets.token_hex(16)}"
        self.resource_id = (
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/p"
        )
        self.projects: dict[str, Project] = {}
        self.web: dict[str, bytes] = {}  # what can be fetched by address
        self.polls_until_trained = 2
        self.training_fails = False
        self.most_images, self.most_projects = 100_000, 100
        self.received: list[Received] = []
        self.leaked_keys = 0  # how often a key came with a link, where none belongs
        self.connections = 0
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._always: dict[str, Fault] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._link_key = secrets.token_bytes(16)
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def fail(self, operation: str, *several: Fault, always: bool = False) -> None:
        """Have the next calls of an operation (or "*") fail, one fault for each call."""
        assert (
            operation == "*"
            or operation == "link"
            or any(route.name == operation for route in ROUTES)
        ), operation
        if always:
            (self._always[operation],) = several
        else:
            self._faults[operation].extend(several)

    def heal(self) -> None:
        self._faults.clear()
        self._always.clear()
        self.training_fails = False

    @property
    def faults_left(self) -> int:
        """How many of the faults given to `fail` nobody has met yet."""
        return sum(map(len, self._faults.values()))

    def calls(self, operation: str) -> list[Received]:
        return [one for one in self.received if one.operation == operation]

    def times_taken(self, operations: Iterable[str]) -> Counter[str]:
        """Return how often each picture, by SHA-256, was accepted by one of these operations."""
        wanted = set(operations)
        done = [one for one in self.received if one.operation in wanted and one.took_effect]
        return Counter(sha256 for one in done for sha256 in one.pictures)

    def link(self, name: str) -> str:
        """Return an address at which a picture can be had for a day, by whoever knows it."""
        expires = int(time.time()) + LINK_SECONDS
        return f"{self.endpoint}/blob/{name}?se={expires}&sp=r&sig={self._signature(name, str(expires))}"  # noqa: E501

    def expire_links(self) -> None:
        """Let every link given so far be too old."""
        self._link_key = secrets.token_bytes(16)

    def _signature(self, name: str, expires: str) -> str:
        return hmac.new(self._link_key, f"{name} {expires}".encode(), hashlib.sha256).hexdigest()

    def next_fault(self, operation: str) -> Fault | None:
        with self._lock:
            for name in (operation, "*"):
                if self._faults[name]:
                    return self._faults[name].popleft()
                if name in self._always:
                    return self._always[name]
        return None

    def wait(self, seconds: float) -> None:
        """Be slow, but not beyond the end of the test."""
        self._closing.wait(seconds)

    def blob(self, name: str, query: dict[str, str]) -> bytes | None:
        """Return the picture that a link leads to, None where the link is wrong or too old."""
        expected = self._signature(name, query.get("se", ""))
        if (
            not hmac.compare_digest(expected, query.get("sig", ""))
            or int(query["se"]) < time.time()
        ):
            return None
        id_ = name.rpartition("/")[2]
        for project in self.projects.values():
            for kept in (project.images, project.predictions):
                if id_ in kept:
                    return kept[id_].data
        return None

    def answer(self, route: Route, call: Call) -> tuple[int, Any]:
        """Do an operation, one at a time: what it touches is shared."""
        with self._lock:
            try:
                answer = route.answer(call)
            except Refusal as refusal:
                return refusal.status, refusal.body
        return answer if isinstance(answer, tuple) else (200, answer)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of callers that have gone away."""


def _handler_of(service: StandIn) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"service": service})


class _Handler(BaseHTTPRequestHandler):
    service: StandIn
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece, or the small ones wait for each other

    def setup(self) -> None:
        super().setup()
        self.service.connections += 1

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet; `received` has it."""

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        address = urlsplit(self.path)
        path = address.path.replace("//", "/").strip("/")
        query = dict(parse_qsl(address.query))
        if path.startswith("blob/"):
            self._serve_link(unquote(path.removeprefix("blob/")), query)
            return
        route, ids = self._route(path)
        record = Received(
            route.name if route else "", self.command, path, query, dict(self.headers.items())
        )
        self.service.received.append(record)
        if route is None:
            self._send(record, 404, faults.gateway(404, "Resource not found"))
            return
        request_id = str(uuid4())
        call = Call(
            self.service, ids, query, body, self.headers.get("Content-Type", ""), request_id
        )
        fault = self.service.next_fault(route.name)
        if fault and fault.slow_seconds:
            self.service.wait(fault.slow_seconds)
        if fault and not fault.only_delays:
            self._fail(record, route, call, fault)
        elif self._has_key(route.area):
            self._send(record, *self._do(record, route, call), request_id=request_id)
        else:
            refusal = faults.wrong_key()
            self._send(record, refusal.status, refusal.body, reason=refusal.reason)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_request

    def _do(self, record: Received, route: Route, call: Call) -> tuple[int, Any]:
        status, body = self.service.answer(route, call)
        record.pictures = [hashlib.sha256(data).hexdigest() for data in call.pictures]
        record.took_effect = status < 300
        return status, body

    def _fail(self, record: Received, route: Route, call: Call, fault: Fault) -> None:
        if fault.done and self._has_key(route.area):
            self._do(record, route, call)
        if not fault.status:
            self._reset()
            return
        headers = {"Retry-After": fault.retry_after, "Location": fault.location}
        headers = {name: value for name, value in headers.items() if value}
        self._send(record, fault.status, fault.body, reason=fault.reason, headers=headers)

    def _route(self, path: str) -> tuple[Route | None, dict[str, str]]:
        for area, version in VERSIONS.items():
            prefix = f"customvision/v{version}/{area}/"
            if not path.lower().startswith(prefix):
                continue
            for route in ROUTES:
                match = route.pattern.match(path[len(prefix) :])
                if match and route.area == area and route.method == self.command:
                    return route, {
                        name: unquote(value) for name, value in match.groupdict().items()
                    }
        return None, {}

    def _has_key(self, area: str) -> bool:
        own = self.service.training_key if area == "training" else self.service.prediction_key
        return self.headers.get(KEY_HEADERS[area], "") == own

    def _serve_link(self, name: str, query: dict[str, str]) -> None:
        self.service.leaked_keys += any(self.headers.get(header) for header in KEY_HEADERS.values())
        record = Received("link", self.command, f"blob/{name}", query, dict(self.headers.items()))
        self.service.received.append(record)
        fault = self.service.next_fault("link")
        if fault and fault.slow_seconds:
            self.service.wait(fault.slow_seconds)
        if fault and not fault.only_delays:
            if fault.status:
                self._send(record, fault.status, fault.body)
            else:
                self._reset()
            return
        data = self.service.blob(name, query)
        record.took_effect = data is not None
        if data is None:
            self._write(
                record,
                403,
                b"<Error><Code>AuthenticationFailed</Code></Error>",
                "application/xml",
                {},
            )
        else:
            self._write(record, 200, data, "application/octet-stream", {})

    def _send(
        self,
        record: Received,
        status: int,
        body: Any,
        *,
        reason: str = "",
        headers: dict[str, str] | None = None,
        request_id: str = "",
    ) -> None:
        record.body = body
        request_id = request_id or str(uuid4())
        ids = {
            "apim-request-id": request_id,
            "Request-Id": request_id,
            "X-Content-Type-Options": "nosniff",
        }
        data = b"" if body is None else json.dumps(body).encode()
        self._write(
            record, status, data, "application/json; charset=utf-8", ids | (headers or {}), reason
        )

    def _write(
        self,
        record: Received,
        status: int,
        data: bytes,
        kind: str,
        headers: dict[str, str],
        reason: str = "",
    ) -> None:
        record.status = status
        self.send_response(status, reason or None)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if status != 204:
            self.wfile.write(data)

    def _reset(self) -> None:
        """End the connection with a reset instead of an answer."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        os.close(self.connection.detach())

"""Sends dear bodies to every door, each in a process of its own; prints a line of JSON for each.

What is made of the lines: bench/memory.py.
"""

import io
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import django

MEGABYTE = 1_000_000
SENT = 10 * MEGABYTE
FORM_BYTES = 65_000  # nearly what is taken of a form
BOUNDARY = "boundary7"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
URLENCODED = "application/x-www-form-urlencoded"
PART = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="'.encode()
FILE = PART + b'imageData"; filename="a.jpg"\r\n'


@dataclass(frozen=True)
class Door:
    name: str
    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Body:
    name: str
    content_type: str
    start: bytes
    unit: bytes
    end: bytes = b""
    length: int = SENT


BODIES = [
    Body("JSON of lists", "application/json", b'{"url":[', b"[],"),
    Body("JSON of depth", "application/json", b'{"images":', b"["),
    Body("JSON of objects", "application/json", b'{"tags":[', b'{"a":1},'),
    Body("JSON of names", "application/json", b"{", b'"":0,'),
    Body("JSON of short texts", "application/json", b'{"images":[{"contents":"QUJD"},', b'"a",'),
    Body(
        "JSON of a text with an emoji", "application/json", b'{"url":"\xf0\x9f\x8d\x95', b"a", b'"}'
    ),
    Body("JSON of escapes", "application/json", b'{"name":"', b"\\u0061", b'"}'),
    Body(
        "JSON of long base64",
        "application/json",
        b'{"images":[',
        b'{"contents":"%s"},' % (b"A" * 2000),
    ),
    Body(
        "JSON of one picture",
        "application/json",
        b'{"images":[{"name":"\xf0\x9f\x8d\x95","contents":"',
        b"A",
        b'"}]}',
    ),
    Body(
        "JSON of a picture in escapes",
        "application/json",
        b'{"images":[{"contents":"',
        b"A\\/",
        b'"}]}',
    ),
    Body("JSON of numbers", "application/json", b'{"images":[', b"1,"),
    Body("a part's parameter", FORM, PART + b'imageData"; x="', b"a"),
    Body("a part's parameter of quotes", FORM, PART + b'imageData"; x="', b'\\"'),
    Body("a part's parameters", FORM, PART + b'imageData"', b'; a="b"'),
    Body("a part's headers", FORM, FILE, b"X-A: b\r\n"),
    Body("a part's header in lines", FORM, FILE + b"X-A: b", b"\r\n c"),
    Body("tiny parts", FORM, b"", PART + b'a"\r\n\r\n\r\n'),
    Body("tiny files", FORM, b"", FILE + b"\r\n\r\n"),
    Body("parts without headers", FORM, b"", f"--{BOUNDARY}\r\n\r\n\r\n".encode()),
    Body("a long field", FORM, PART + b'name"\r\n\r\n', b"a"),
    Body("a long file", FORM, FILE + b"\r\n", b"a"),
    Body("a file in base64", FORM, FILE + b"Content-Transfer-Encoding: base64\r\n\r\n", b"QUJD"),
    Body("a preamble", FORM, b"", b"a"),
    Body("nearly boundaries", FORM, FILE + b"\r\n", b"\r\n--boundary"),
    Body("a long form", URLENCODED, b"name=", b"a"),
    Body(
        "a long form of escapes", URLENCODED, b"login=", b"%41", length=2_600_000
    ),  # Django's own limit
    Body("a form of empty fields", URLENCODED, b"", b"a&", length=FORM_BYTES),
    Body("a form of escapes", URLENCODED, b"login=", b"%41", length=FORM_BYTES),
    Body("a form of one field", URLENCODED, b"name=", b"a", length=FORM_BYTES),
    Body("a form of characters", URLENCODED, b"name=", b"%F0%9F%8D%95", length=FORM_BYTES),
    Body("a field as long as may be", FORM, PART + b'name"\r\n\r\n', b"a", length=FORM_BYTES),
    Body("bytes", "application/octet-stream", b"", b"a"),
    Body("text", "text/plain", b"", b"a"),
    Body("a picture of nothing", "image/jpeg", b"\xff\xd8\xff\xe0\0\x02", b"\xff\xe0\0\x02"),
]
QUICK = {
    "JSON of lists",
    "JSON of depth",
    "a part's parameter of quotes",
    "a part's headers",
    "a form of escapes",
    "a long form of escapes",
}


class Stream(io.RawIOBase):
    """A body of so many bytes that is nowhere in memory."""

    def __init__(self, body: Body, length: int) -> None:
        self._ahead, self._left, self._body = body.start, length, body
        self._block = body.unit * max(1, 65_536 // len(body.unit))

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        found = bytearray()
        while len(found) < wanted:
            found += self._ahead or self._block
            self._ahead = b""
        self._ahead = bytes(found[wanted:])
        self._left -= wanted
        if not self._left and self._body.end and wanted > len(self._body.end):
            return bytes(found[: wanted - len(self._body.end)]) + self._body.end
        return bytes(found[:wanted])


def doors() -> Iterator[Door]:
    """Make a world with something of everything; yield each address that takes a body, and each
    operation.
    """
    from django.conf import settings
    from django.test import Client
    from django.urls import reverse

    from accounts.tests.factories import make_token
    from classifr.tests.access_matrix import ROWS, VISITORS
    from classifr.tests.access_world import make_world
    from customvision.api.routing import operations
    from customvision.api.tests.factories import make_caller, make_published
    from predictions.models import Sample

    world = make_world()
    for name, rows in ROWS.items():
        for row in rows:
            if row.method == "POST":
                address = reverse(name, kwargs=row.kwargs(world))
                allowed = dict(zip(VISITORS, row.answers, strict=True))
                user = world.maintainer if allowed["user"] == 403 else world.user
                client = Client()
                client.force_login(user)
                session = client.cookies[settings.SESSION_COOKIE_NAME].value
                cookies = f"{settings.SESSION_COOKIE_NAME}={session}; csrftoken={'a' * 32}"
                headers = {"HTTP_COOKIE": cookies, "HTTP_X_CSRFTOKEN": "a" * 32}
                if name.startswith("api:"):
                    headers = {"HTTP_AUTHORIZATION": f"Token {make_token(user)}"}
                yield Door(name, "POST", address, headers)
    caller = make_caller(world.maintainer)
    project, tags, iteration = make_published(caller, name="live")
    ids = {
        "projectId": project.uuid,
        "iterationId": iteration,
        "publishedName": "live",
        "tagId": tags["dark"],
    }
    ids |= {
        "imageId": Sample.objects.filter(project=project).first().uuid,
        "domainId": project.uuid,
    }
    for one in operations:
        version = "3.4-preview" if one.area == "training" else "3.1"
        path = f"/customvision/v{version}/{one.area}/{one.template.format_map(ids)}"
        yield Door(one.name, one.method, path, {"HTTP_OCP_APIM_SUBSCRIPTION_KEY": caller.token})


def ask(door: Door, body: Body, length: int) -> int:
    """Send a body to a door; return the status, 0 for an answer that never came."""
    from django.core.handlers.wsgi import WSGIHandler

    status = [0]
    environment: dict[str, Any] = {
        "REQUEST_METHOD": door.method,
        "PATH_INFO": door.path,
        "QUERY_STRING": "",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": body.content_type,
        "CONTENT_LENGTH": str(length),
        "wsgi.input": Stream(body, length),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
    }
    handler = WSGIHandler()

    def start_response(line: str, headers: Any, exc_info: Any = None) -> None:
        status[0] = int(line.split()[0])

    response = handler(environment | door.headers, start_response)
    for _chunk in response:
        pass
    response.close()
    return status[0]


def in_a_child(door: Door, body: Body) -> dict[str, Any]:
    """Measure one body in a process of its own, with a database of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(writing, "w") as pipe:
                json.dump(_measured(door, body), pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    nothing = {
        "door": door.name,
        "body": body.name,
        "sent": body.length / MEGABYTE,
        "took": 0.0,
        "status": 0,
    }
    return json.loads(text) if text else nothing


def _measured(door: Door, body: Body) -> dict[str, Any]:
    from django.db import connection

    from bench import memory

    own = f"{connection.settings_dict['NAME']}-{os.getpid()}"
    shutil.copy(connection.settings_dict["NAME"], own)
    connection.settings_dict["NAME"] = own
    ask(door, body, 2_000)
    before = memory.megabytes()
    memory.forget_peak()
    status = ask(door, body, body.length)
    took = memory.peak_megabytes() - before
    for leftover in Path(own).parent.glob(f"{Path(own).name}*"):
        leftover.unlink()
    return {
        "door": door.name,
        "body": body.name,
        "sent": body.length / MEGABYTE,
        "took": took,
        "status": status,
    }


def main() -> None:
    django.setup()
    from django.core.management import call_command
    from django.db import connections
    from django.test.utils import setup_test_environment

    setup_test_environment()
    call_command("migrate", verbosity=0)
    every = list(doors())
    connections.close_all()
    wanted = [body for body in BODIES if "--quick" not in sys.argv or body.name in QUICK]
    for door in every:
        for body in wanted:
            sys.stdout.write(json.dumps(in_a_child(door, body)) + "\n")


if __name__ == "__main__":
    main()

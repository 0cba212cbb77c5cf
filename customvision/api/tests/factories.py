"""What these tests are made of: a client with keys, and the JSON that it gets."""

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpResponse
from django.test import Client

from accounts.models import User
from accounts.tests.factories import make_maintainer, make_token
from common import jobs, tasks
from predictions.models import Project
from predictions.tests.factories import make_picture_bytes

BOUNDARY = "----boundary7"


@dataclass
class Caller:
    """Sends requests like a program with keys: `training("GET", "projects")`, `prediction(...)`."""

    user: User
    version: str = "3.4-preview"
    token: str = ""
    client: Client = field(default_factory=Client)

    def training(self, method: str, path: str, body: Any = None, **options: Any) -> HttpResponse:
        return self._send("training", self.version, "Training-Key", method, path, body, options)

    def prediction(self, method: str, path: str, body: Any = None, **options: Any) -> HttpResponse:
        version = "3.0" if self.version == "3.0" else "3.1"
        return self._send("prediction", version, "Prediction-Key", method, path, body, options)

    def _send(
        self,
        area: str,
        version: str,
        header: str,
        method: str,
        path: str,
        body: Any,
        options: dict[str, Any],
    ) -> HttpResponse:
        if isinstance(body, bytes):
            options.setdefault("content_type", "application/octet-stream")
        else:
            options.setdefault("content_type", "application/json")
        headers = {header: self.token} | options.pop("headers", {})
        address = f"/customvision/v{version}/{area}/{path}"
        return self.client.generic(method, address, _encoded(body), headers=headers, **options)


def _encoded(body: Any) -> bytes:
    if body is None:
        return b""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def make_caller(user: User | None = None, *, version: str = "3.4-preview") -> Caller:
    user = user or make_maintainer()
    return Caller(user, version=version, token=make_token(user))


def multipart(
    *pictures: bytes, disposition: str = 'form-data; name="imageData"'
) -> tuple[bytes, str]:
    """Return a body with these pictures, without file names unless told, and its content type."""
    parts = [
        f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + picture + b"\r\n"
        for picture in pictures
    ]
    return b"".join(
        parts
    ) + f"--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"


def make_tagged(caller: Caller, *, pictures: int = 5) -> tuple[Project, dict[str, str]]:
    """Make a project with two tags and pictures of each, over the API; return the tags' ids."""
    query = f"name=Plates-{uuid.uuid4().hex[:6]}&classificationType=Multiclass"
    made = caller.training("POST", f"projects?{query}").json()
    project = Project.objects.get(uuid=made["id"])
    Project.objects.filter(pk=project.pk).update(trainer="dummy")
    ids = {}
    for name, colour in (("dark", 10), ("light", 235)):
        ids[name] = caller.training("POST", f"projects/{project.uuid}/tags?name={name}").json()[
            "id"
        ]
        for number in range(pictures):
            data = make_picture_bytes((colour + number,) * 3, format="PNG")
            answer = caller.training(
                "POST", f"projects/{project.uuid}/images?tagIds={ids[name]}", data
            )
            assert answer.json()["images"][0]["status"] == "OK"
    return project, ids


def make_published(
    caller: Caller, *, name: str = "live one", pictures: int = 5
) -> tuple[Project, dict[str, str], str]:
    """Train and publish what `make_tagged` made; return the iteration's id as well."""
    project, ids = make_tagged(caller, pictures=pictures)
    iteration = caller.training("POST", f"projects/{project.uuid}/train").json()
    tasks.autodiscover()
    jobs.run_due_jobs("training")
    path = f"projects/{project.uuid}/iterations/{iteration['id']}/publish?publishName={name}&predictionId=/x"  # noqa: E501
    assert caller.training("POST", path).json() is True
    return project, ids, iteration["id"]

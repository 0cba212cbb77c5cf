"""Every hostile file through every entry point: accepted correctly, or refused with 400."""

from collections.abc import Callable

import pytest
from django.core.cache import cache
from django.core.files.storage import storages
from rest_framework.test import APIClient

from common.tests import corpus
from common.tests.corpus import Case
from predictions.models import Prediction, Sample
from predictions.tests.factories import make_live_model, make_user
from predictions.uploads import display_name

pytestmark = pytest.mark.django_db

DOORS = ["page", "form", "body"]
REFUSALS = (
    b"Accepted formats",
    b"choose a picture",
    b"Send one picture",
    b"cannot be understood",
    b"parse error",
)
FORM = "multipart/form-data; boundary=x"
SIGNATURES = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n"}


@pytest.fixture
def alice(client):
    user = make_user()
    client.force_login(user)
    return user


@pytest.fixture
def address():
    return make_live_model().project.get_absolute_url()


def form_of(case: Case) -> bytes:
    """Return the body that a browser would send for this file, whatever its name."""
    name = case.file_name.encode("utf-8", "surrogatepass")
    for character, escape in ((b"\r", b"%0D"), (b"\n", b"%0A"), (b'"', b"%22")):
        name = name.replace(character, escape)
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="' + name + b'"\r\n'
    return head + b"Content-Type: image/jpeg\r\n\r\n" + case.data + b"\r\n--x--\r\n"


def api_address(page: str) -> str:
    """Return where programs send what people send to a page."""
    return f"/api/v1{page.removesuffix('classify/')}predict"


def through_page(client, user, address: str, case: Case):
    return client.post(address, form_of(case), content_type=FORM, headers={"HX-Request": "true"})


def through_form(client, user, address: str, case: Case):
    api = APIClient()
    api.force_authenticate(user)
    return api.post(api_address(address), form_of(case), content_type=FORM)


def through_body(client, user, address: str, case: Case):
    api = APIClient()
    api.force_authenticate(user)
    return api.post(api_address(address), case.data, content_type="image/jpeg")


def push(client, user, address: str, cases: list[Case], door: str) -> None:
    """Send all cases through an entry point; fail with the names of those treated wrongly."""
    doors = {"page": through_page, "form": through_form, "body": through_body}
    failures = []
    for case in cases:
        try:
            check(client, user, address, case, doors[door])
        except Exception as error:  # the other cases are told as well
            failures.append(f"{case}: {type(error).__name__} {error}")
        forget_everything()
    assert failures == []


def check(client, user, address: str, case: Case, door: Callable) -> None:
    response = door(client, user, address, case)
    expected = {True: {200}, False: {400}, None: {200, 400}}[case.accepted]
    if door is not through_body and (
        not display_name(case.file_name).strip(".") or len(case.file_name) > 900
    ):
        expected = {
            400,
            *expected,
        }  # to Django a part without a name, or with a heading as long, is no file
    assert response.status_code in expected
    if response.status_code == 400:
        assert any(words in response.content for words in REFUSALS)
        assert not Sample.objects.exists()
        assert stored_files() == []
        return
    sample = Sample.objects.get()
    served = client.get(f"/samples/{sample.uuid}/picture/")
    assert served.content.startswith(SIGNATURES[served["Content-Type"]])
    assert served["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in served["Content-Security-Policy"]
    assert corpus.GPS_MARK not in served.content
    assert b"<script" not in served.content
    assert client.get(f"/samples/{sample.uuid}/thumbnail/").status_code == 200
    assert client.get(Prediction.objects.get().get_absolute_url()).status_code == 200
    assert stored_files() == [sample.file_name]


def stored_files() -> list[str]:
    storage = storages["uploads"]
    folders = storage.listdir("")[0] if storage.exists("") else []
    return [f"{folder}/{name}" for folder in folders for name in storage.listdir(folder)[1]]


def forget_everything() -> None:
    for name in stored_files():
        storages["uploads"].delete(name)
    Sample.objects.all().delete()
    cache.clear()


@pytest.mark.parametrize("door", DOORS)
def test_a_few_hostile_files(client, alice, address, door):
    cases = corpus.cases()
    push(client, alice, address, cases[:: len(cases) // 12], door)


@pytest.mark.outer
@pytest.mark.parametrize("door", DOORS)
def test_every_hostile_file(client, alice, address, door):
    push(client, alice, address, corpus.cases(), door)

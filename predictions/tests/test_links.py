"""Links of a few minutes to pictures in Azure Blob Storage, for those who may see them."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.core.files.storage import storages

from predictions.models import Sample
from predictions.tests.factories import make_sample, make_user
from predictions.tests.test_media import address

pytestmark = [pytest.mark.django_db, pytest.mark.outer]


@pytest.fixture
def at_azure(azurite, settings):
    """Misclassified pictures are in Azure Blob Storage, and browsers get links to them."""
    options = {
        "connection_string": azurite.connection_string,
        "azure_container": "links",
        "expiration_secs": 300,
        "timeout": 5,
        "overwrite_files": False,
    }
    backend = {"BACKEND": "common.blob_storages.AzureBlobStorage", "OPTIONS": options}
    settings.STORAGES = settings.STORAGES | {"misclassified": backend}
    settings.AZURE_STORAGE_LINKS = True
    return settings


def link_of(client, sample: Sample) -> str:
    response = client.get(address("picture", sample))
    assert response.status_code == 302
    assert response["Cache-Control"] == "private, no-store"
    return response["Location"]


def test_a_reviewer_gets_the_picture_from_azure_itself(client, at_azure):
    client.force_login(make_user("reviewer"))
    sample = make_sample(location=Sample.Location.MISCLASSIFIED)
    answer = requests.get(link_of(client, sample), timeout=10)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
    assert answer.headers["Content-Disposition"] == f'inline; filename="{sample.uuid}.jpg"'
    assert answer.content == sample.read()


def test_a_link_opens_one_picture_for_reading_and_for_minutes(client, at_azure):
    client.force_login(make_user("reviewer"))
    first, second = (make_sample(location=Sample.Location.MISCLASSIFIED) for _picture in range(2))
    link = link_of(client, first)
    query = parse_qs(urlsplit(link).query)
    assert (query["sp"], query["sr"]) == (["r"], ["b"])
    assert (
        requests.get(link.replace(str(first.uuid), str(second.uuid)), timeout=10).status_code == 403
    )
    assert requests.delete(link, timeout=10).status_code == 403
    assert requests.get(link.partition("?")[0], timeout=10).status_code in (403, 404), (
        "nobody without a link"
    )


def test_a_link_expires(at_azure):
    sample = make_sample(location=Sample.Location.MISCLASSIFIED)
    storage = storages["misclassified"]
    storage.expiration_secs = -1
    link = storage.signed_url(sample.file_name, media_type="image/jpeg", file_name="a.jpg")
    assert requests.get(link, timeout=10).status_code == 403


def test_a_picture_of_a_type_of_its_own_making_is_no_picture(client, at_azure):
    client.force_login(make_user("reviewer"))
    sample = make_sample(location=Sample.Location.MISCLASSIFIED)
    Sample.objects.filter(pk=sample.pk).update(media_type="text/html")
    answer = requests.get(link_of(client, sample), timeout=10)
    assert answer.headers["Content-Type"] == "application/octet-stream"


def test_strangers_get_no_link(client, at_azure):
    sample = make_sample(location=Sample.Location.MISCLASSIFIED)
    client.force_login(make_user())
    assert client.get(address("picture", sample)).status_code == 404


def test_without_the_setting_pictures_come_through_the_application(client, at_azure):
    at_azure.AZURE_STORAGE_LINKS = False
    client.force_login(make_user("reviewer"))
    response = client.get(address("picture", make_sample(location=Sample.Location.MISCLASSIFIED)))
    assert (response.status_code, response["X-Content-Type-Options"]) == (200, "nosniff")


def test_pictures_on_disk_have_no_links(client, at_azure):
    client.force_login(make_user("reviewer"))
    assert client.get(address("picture", make_sample())).status_code == 200


def test_the_key_of_the_account_is_in_no_link(client, at_azure, azurite):
    client.force_login(make_user("reviewer"))
    key = re.search(r"AccountKey=([^;]+)", azurite.connection_string)[1]
    assert key not in link_of(client, make_sample(location=Sample.Location.MISCLASSIFIED))

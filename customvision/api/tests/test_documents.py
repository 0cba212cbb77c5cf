"""What is written about the server is so."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import reverse

from accounts.tests.factories import make_maintainer
from customvision.api import dispatch, unsupported
from customvision.api.routing import operations
from predictions.tests.factories import make_project

assert dispatch.OPERATION_MODULES, "registers the operations"


def test_the_table_has_every_operation_and_says_which_are_missing():
    text = (Path(settings.BASE_DIR) / "docs" / "customvision.md").read_text()
    table = dict(re.findall(r"^\|[^|]*\| `(\w+)` \| (yes|no|different) \|", text, re.MULTILINE))
    assert set(table) == {one.name for one in operations}
    assert {name for name, answer in table.items() if answer == "no"} == unsupported.NAMES


def test_the_table_says_why_an_operation_is_missing():
    text = (Path(settings.BASE_DIR) / "docs" / "customvision.md").read_text()
    reasons = re.findall(r"^\|[^|]*\| `\w+` \| no \|([^|]*)\|", text, re.MULTILINE)
    assert len(reasons) == len(unsupported.NAMES)
    assert all(reason.strip() for reason in reasons)


@pytest.mark.django_db
def test_the_training_page_has_what_a_program_needs(client):
    project = make_project()
    client.force_login(make_maintainer())
    page = client.get(reverse("training:project", args=[project.slug])).content.decode()
    assert 'CustomVisionPredictionClient("http://testserver", credentials)' in page
    assert (
        f"http://testserver/customvision/v3.1/prediction/{project.uuid}/classify/iterations/production/image"
        in page
    )

"""Rulings that clients make by tags outlive a power cut, as those of the review page do."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from customvision.api.tests.factories import make_caller, make_tagged
from predictions.tests.factories import make_picture_bytes
from review.models import Decision

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def sqlite_only():
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL flushes every commit")


@pytest.fixture(scope="module")
def calls():
    """What makes decisions: method, end of the path and body, from ids of an image and two tags."""
    return {
        "CreateImagesFromData": (
            "POST",
            "images?tagIds={dark}",
            lambda image, tag: make_picture_bytes(),
        ),
        "CreateImageTags": (
            "POST",
            "images/tags",
            lambda image, tag: {"tags": [{"imageId": image, "tagId": tag}]},
        ),
        "DeleteImageTags": (
            "DELETE",
            "images/tags?imageIds={image}&tagIds={dark}",
            lambda image, tag: None,
        ),
        "DeleteImages": ("DELETE", "images?imageIds={image}", lambda image, tag: None),
        "DeleteTag": ("DELETE", "tags/{dark}", lambda image, tag: None),
    }


@pytest.mark.parametrize(
    "name",
    ["CreateImagesFromData", "CreateImageTags", "DeleteImageTags", "DeleteImages", "DeleteTag"],
)
def test_it_is_flushed_when_the_client_is_answered(name, calls):
    caller = make_caller()
    project, ids = make_tagged(caller, pictures=1)
    image = str(project.samples.order_by("pk").first().uuid)
    method, path, body = calls[name]
    before = Decision.objects.count()
    address = f"projects/{project.uuid}/{path.format(image=image, **ids)}"
    with CaptureQueriesContext(connection) as queries:
        answer = caller.training(method, address, body(image, ids["light"]))
    assert answer.status_code in (200, 204)
    assert Decision.objects.count() > before
    done = [query["sql"] for query in queries]
    flushed = done.index("PRAGMA synchronous=FULL")
    ruled = next(i for i, sql in enumerate(done) if sql.startswith('INSERT INTO "review_decision"'))
    assert flushed < ruled < done.index("PRAGMA synchronous=NORMAL")

"""Objects read and written by statements of our own are those that Django reads and writes."""

import threading
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import ApiToken, User
from accounts.queries import find_token
from common.media import images
from common.raw_sql import columns, fetch_objects, fetch_rows, insert_object
from predictions import queries
from predictions.models import Category, Project, Sample
from predictions.tests.factories import (
    make_category,
    make_live_model,
    make_picture_bytes,
    make_project,
    make_sample,
    make_user,
)

pytestmark = pytest.mark.django_db

BY_KEY = f"""
    SELECT {columns(Category, "category")}, {columns(Project, "project")}
    FROM predictions_category AS category
    JOIN predictions_project AS project ON project.id = category.project_id
    WHERE category.id = %s
"""  # noqa: S608


def by_key(key: int) -> list[tuple[Category, Project]]:
    return fetch_objects([Category, Project], BY_KEY, [key])


def assert_same(found, expected):
    """Compare all fields of two objects, their types included."""
    assert found == expected
    assert (found._state.adding, found._state.db) == (False, "default")
    names = [field.attname for field in expected._meta.concrete_fields]
    for name in names:
        value, wanted = getattr(found, name), getattr(expected, name)
        assert (name, type(value), value) == (name, type(wanted), wanted)


def test_it_finds_what_a_queryset_finds(django_assert_num_queries):
    project = make_project()
    pictures = [images.decode_upload(make_picture_bytes()) for _ in range(3)]
    for picture in pictures:
        sample = make_sample(project, sha256=picture.sha256, capture={"camera_model": "Ünï"})
        with django_assert_num_queries(1):
            found = queries.find_sample(project, picture)
        assert_same(found, Sample.objects.get(pk=sample.pk))
    assert queries.find_sample(make_project(), pictures[0]) is None


def test_related_objects_come_with_it(django_assert_num_queries):
    live = make_live_model()
    slug = live.project.slug
    live.refresh_from_db()
    with django_assert_num_queries(1):
        found = queries.find_live_version_by_slug(slug)
        project = found.project
    assert_same(found, live)
    assert_same(project, Project.objects.get(pk=project.pk))
    assert_same(queries.find_live_version(project), live)


def test_a_token_comes_with_its_owner(django_assert_num_queries):
    token, _text = ApiToken.objects.create(user=make_user(), name="mine")
    with django_assert_num_queries(1):
        found = find_token(token.digest)
        owner = found.user
    assert_same(found, ApiToken.objects.get())
    assert_same(owner, User.objects.get(pk=owner.pk))


def test_rows_come_in_the_order_of_the_statement():
    project = make_project(categories=["b", "a", "c"])
    statement = "SELECT name FROM predictions_category WHERE project_id = %s ORDER BY name DESC"
    assert fetch_rows(statement, [project.pk]) == [("c",), ("b",), ("a",)]
    assert sorted(name for _key, _id, name in queries.category_rows(project.pk)) == ["a", "b", "c"]


def test_what_it_finds_can_be_saved():
    category = make_category(name="before")
    ((found, _project),) = by_key(category.pk)
    found.name = "after"
    found.save()
    assert Category.objects.get().name == "after"


@pytest.mark.django_db(transaction=True)
def test_every_thread_asks_by_its_own_connection():
    category = make_category()
    expected = [(category, category.project)]
    assert by_key(category.pk) == expected
    found = []

    def look():
        try:
            found.append(by_key(category.pk))
        finally:
            connection.close()

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 3


def test_an_insert_writes_what_saving_would_write():
    project = make_project()
    saved = make_sample(project, capture={"camera_model": "Ünï 3"})
    fresh = Sample(
        **{
            field.attname: getattr(saved, field.attname)
            for field in Sample._meta.concrete_fields[1:]
        }
    )
    fresh.uuid, fresh.sha256 = uuid4(), "f" * 64
    with CaptureQueriesContext(connection) as queries:
        insert_object(fresh)
    assert len(queries) == 1
    found = Sample.objects.get(sha256="f" * 64)
    assert found == fresh
    assert vars(found) | {"_state": 0} == vars(fresh) | {"_state": 0}
    assert facts(found) == facts(saved)


def test_what_an_insert_wrote_can_be_saved_and_deleted():
    fresh = Category(project=make_project(), name="before")
    insert_object(fresh)
    fresh.name = "after"
    fresh.save()
    assert Category.objects.get().name == "after"
    fresh.delete()
    assert not Category.objects.exists()


def test_each_insert_writes_its_own_values():
    project = make_project()
    for name in ("pizza", "ramen"):
        insert_object(Category(project=project, name=name))
    assert set(Category.objects.values_list("name", flat=True)) == {"pizza", "ramen"}


def test_an_insert_takes_whatever_saving_takes():
    sample = make_sample(make_project())
    sample.pk, sample.uuid, sample.sha256, sample.width = None, str(uuid4()), "f" * 64, "12"
    sample.location, sample.capture = Sample.Location.UPLOADS, {"taken_at": "2026-01-01"}
    insert_object(sample)
    found = Sample.objects.get(sha256="f" * 64)
    assert (found.width, str(found.uuid), found.location) == (12, sample.uuid, "uploads")


def test_an_insert_refuses_what_saving_refuses():
    sample = make_sample(make_project())
    sample.pk, sample.uuid, sample.sha256, sample.width = None, uuid4(), "f" * 64, "wide"
    with pytest.raises(ValueError, match="width"):
        insert_object(sample)


def test_an_insert_against_a_constraint_is_refused():
    sample = make_sample(make_project())
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_object(Sample(project=sample.project, sha256=sample.sha256, file_name="a.jpg"))
    assert Sample.objects.get() == sample


def facts(sample: Sample) -> dict[str, object]:
    """What two samples of a project can have in common."""
    return {
        name: value
        for name, value in vars(sample).items()
        if name not in {"id", "uuid", "sha256", "_state"}
    }

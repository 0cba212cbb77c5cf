"""A prepared query says what the queryset says that it was made of, for whatever values, in every
thread.
"""

import threading
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from common.prepared import Prepared, PreparedInsert
from predictions.models import Category, Sample
from predictions.tests.factories import make_category, make_project, make_sample

pytestmark = pytest.mark.django_db


def test_it_finds_what_the_queryset_finds(django_assert_num_queries):
    project = make_project()
    samples = [make_sample(project) for _ in range(3)]
    known = Prepared(lambda project, sha256: Sample.objects.filter(project=project, sha256=sha256))
    for sample in samples:
        with django_assert_num_queries(1):
            found = known.first(project.pk, sample.sha256)
        assert found == sample
        assert vars(found) | {"_state": 0} == vars(Sample.objects.get(pk=sample.pk)) | {"_state": 0}
    assert known.first(make_project().pk, samples[0].sha256) is None


def test_related_objects_come_with_it(django_assert_num_queries):
    category = make_category()
    by_name = Prepared(
        lambda name: Category.objects.select_related("project").filter(project__name=name, pk__gt=0)
    )
    with django_assert_num_queries(1):
        assert by_name.first(category.project.name).project == category.project


def test_the_order_and_the_limit_are_those_of_the_queryset():
    project = make_project(categories=["b", "a", "c"])
    names = Prepared(
        lambda key: (
            Category.objects.filter(project=key).order_by("-name").values_list("name", "uuid")[:2]
        )
    )
    expected = [(name, Category.objects.get(name=name).uuid) for name in ("c", "b")]
    assert names.rows(project.pk) == names.rows(project.pk) == expected
    others = Prepared(lambda key: Category.objects.filter(project=key).order_by("-name"))
    assert [category.name for category in others.objects(project.pk)] == ["c", "b", "a"]


def test_what_it_finds_can_be_saved():
    category = make_category(name="before")
    found = Prepared(lambda key: Category.objects.filter(pk=key)).first(category.pk)
    found.name = "after"
    found.save()
    assert Category.objects.get().name == "after"


@pytest.mark.django_db(transaction=True)
def test_every_thread_asks_by_its_own_connection():
    category = make_category()
    by_key = Prepared(lambda key: Category.objects.filter(pk=key))
    assert by_key.first(category.pk) == category
    found = []

    def look():
        try:
            found.append(by_key.first(category.pk))
        finally:
            connection.close()

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [category] * 3


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
        assert PreparedInsert(Sample)(fresh) is fresh
    assert len(queries) == 1
    found = Sample.objects.get(sha256="f" * 64)
    assert found == fresh
    assert vars(found) | {"_state": 0} == vars(fresh) | {"_state": 0}
    assert facts(found) == facts(saved)


def test_what_an_insert_wrote_can_be_saved_and_deleted():
    fresh = PreparedInsert(Category)(Category(project=make_project(), name="before"))
    fresh.name = "after"
    fresh.save()
    assert Category.objects.get().name == "after"
    fresh.delete()
    assert not Category.objects.exists()


def test_each_insert_writes_its_own_values():
    project, insert = make_project(), PreparedInsert(Category)
    for name in ("pizza", "ramen"):
        insert(Category(project=project, name=name))
    assert set(Category.objects.values_list("name", flat=True)) == {"pizza", "ramen"}


def test_an_insert_takes_whatever_saving_takes():
    sample = make_sample(make_project())
    sample.pk, sample.uuid, sample.sha256, sample.width = None, str(uuid4()), "f" * 64, "12"
    sample.location, sample.capture = Sample.Location.UPLOADS, {"taken_at": "2026-01-01"}
    PreparedInsert(Sample)(sample)
    found = Sample.objects.get(sha256="f" * 64)
    assert (found.width, str(found.uuid), found.location) == (12, sample.uuid, "uploads")


def test_an_insert_refuses_what_saving_refuses():
    sample = make_sample(make_project())
    sample.pk, sample.uuid, sample.sha256, sample.width = None, uuid4(), "f" * 64, "wide"
    with pytest.raises(ValueError, match="width"):
        PreparedInsert(Sample)(sample)


def test_an_insert_against_a_constraint_is_refused():
    sample = make_sample(make_project())
    with pytest.raises(IntegrityError), transaction.atomic():
        PreparedInsert(Sample)(
            Sample(project=sample.project, sha256=sample.sha256, file_name="a.jpg")
        )
    assert Sample.objects.get() == sample


def facts(sample: Sample) -> dict[str, object]:
    """What two samples of a project can have in common."""
    return {
        name: value
        for name, value in vars(sample).items()
        if name not in {"id", "uuid", "sha256", "_state"}
    }

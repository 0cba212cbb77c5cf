"""Page by page, each row of a list is shown once, in the order of its key."""

import pytest

from common.pagination import keyset_page
from predictions.models import Category
from predictions.tests.factories import make_project

pytestmark = pytest.mark.django_db


def pages(key: str, size: int) -> list[list[str]]:
    rows, after, found = Category.objects.all(), None, []
    while True:
        page = keyset_page(rows, after=after, size=size, key=key)
        found.append([category.name for category in page.rows])
        if page.next_key is None:
            return found
        after = page.next_key


def test_every_row_is_on_one_page():
    make_project(categories=["c", "a", "b"])
    assert pages("-pk", 2) == [["b", "a"], ["c"]]
    assert pages("name", 2) == [["a", "b"], ["c"]]


def test_a_last_page_that_is_full_has_none_after_it():
    make_project(categories=["c", "a", "b"])
    assert pages("name", 3) == [["a", "b", "c"]]


def test_a_page_is_one_query(django_assert_num_queries):
    make_project(categories=["c", "a", "b"])
    with django_assert_num_queries(1):
        keyset_page(Category.objects.all(), after=2**40, size=2)

"""What people said is on the disk once they are told so: not even a power cut takes it back."""

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from common.errors import NotFound
from common.transactions import durable_transaction
from predictions import feedback, outbox
from predictions.models import Category, Feedback
from predictions.tests.factories import make_category, make_prediction
from review import decisions

pytestmark = pytest.mark.django_db(transaction=True)

FLUSHED, LATER = 2, 1  # FULL and NORMAL, as SQLite counts


@pytest.fixture(autouse=True)
def sqlite_only():
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL flushes every commit")


def flushing() -> int:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous")
        return cursor.fetchone()[0]


def statements(act) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        act()
    return [query["sql"] for query in queries]


def test_such_a_transaction_is_flushed_and_others_are_not():
    with durable_transaction():
        assert flushing() == FLUSHED
    assert flushing() == LATER
    with transaction.atomic():
        assert flushing() == LATER


def test_within_another_of_its_kind_that_one_flushes():
    with durable_transaction(), transaction.atomic(), durable_transaction():
        assert flushing() == FLUSHED
    assert flushing() == LATER


def test_within_any_other_transaction_it_is_refused():
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic(), durable_transaction():
        Category.objects.update(name="after")
    with durable_transaction():
        assert flushing() == FLUSHED
    assert flushing() == LATER


def test_what_failed_is_rolled_back_and_flushes_no_longer():
    category = make_category(name="before")
    with pytest.raises(ZeroDivisionError), durable_transaction():
        Category.objects.update(name="after")
        raise ZeroDivisionError
    assert Category.objects.get() == category
    assert Category.objects.get().name == "before"
    assert flushing() == LATER


def test_a_nok_is_flushed_and_so_is_a_ruling():
    prediction = make_prediction()
    acts = [
        lambda: feedback.give_feedback(
            prediction, Feedback.Verdict.NOK, by=prediction.user, category="pizza"
        ),
        lambda: decisions.label_by_name(prediction.sample, "pizza", by=prediction.user),
    ]
    for act in acts:
        first, *_written, last = statements(act)
        assert (first, last) == ("PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL")


def test_where_a_nok_is_kept_is_flushed_before_its_copy_goes():
    prediction = make_prediction()
    nok = feedback.give_feedback(prediction, Feedback.Verdict.NOK, by=prediction.user)
    done = statements(lambda: outbox.store_misclassified(nok.pk))
    moved = next(
        i for i, sql in enumerate(done) if sql.startswith("UPDATE") and "misclassified" in sql
    )
    assert done.index("PRAGMA synchronous=FULL") < moved < done.index("PRAGMA synchronous=NORMAL")


def test_a_refused_verdict_leaves_the_connection_as_it_was():
    prediction = make_prediction()
    with pytest.raises(NotFound):
        feedback.give_feedback(prediction, Feedback.Verdict.NOK, by=make_prediction().user)
    assert flushing() == LATER

from datetime import timedelta

import pytest
from django.utils import timezone

from common.errors import InvalidInput
from predictions import prediction_history, project_access
from predictions.models import Prediction
from predictions.tests.factories import (
    make_feedback,
    make_live_model,
    make_prediction,
    make_sample,
    make_user,
)

pytestmark = pytest.mark.django_db


def make_history(user, count: int) -> list[Prediction]:
    version = make_live_model()
    return [make_prediction(user, model_version=version) for _ in range(count)]


def shown(user, size: int = prediction_history.PAGE, **parameters: str) -> list[Prediction]:
    return list(
        prediction_history.history_page(
            user, prediction_history.parse_filters(parameters), size=size
        ).rows
    )


def test_the_newest_come_first_and_pages_follow_one_another():
    user = make_user()
    predictions = make_history(user, 5)[::-1]
    make_prediction()
    first = prediction_history.history_page(user, prediction_history.parse_filters({}), size=2)
    second = prediction_history.history_page(
        user, prediction_history.parse_filters({"before": str(first.next_key)}), size=2
    )
    third = prediction_history.history_page(
        user, prediction_history.parse_filters({"before": str(second.next_key)}), size=2
    )
    assert [*first.rows, *second.rows, *third.rows] == predictions
    assert third.next_key is None


def test_a_page_asks_two_queries_and_neither_counts_nor_skips(django_assert_num_queries):
    user = make_user()
    for prediction in make_history(user, 3):
        make_feedback(prediction)
    project_access.particulars(user)  # once per request, whatever it asks
    with django_assert_num_queries(2) as queries:
        for prediction in prediction_history.history_page(
            user, prediction_history.parse_filters({"before": "99999999"})
        ).rows:
            assert prediction.own_feedback[0].verdict == "NOK"
            assert (
                prediction.project.name
                and prediction.model_version.number
                and prediction.sample.has_picture
            )
    assert not any(word in query["sql"] for query in queries for word in ("COUNT(", "OFFSET"))


def test_filters_narrow_down():
    user = make_user()
    risotto = make_prediction(user, scores={"risotto": 0.9, "gnocchi": 0.1})
    gnocchi = make_prediction(user, scores={"risotto": 0.1, "gnocchi": 0.9})
    make_feedback(risotto, "NOK")
    assert shown(user, project=risotto.project.slug) == [risotto]
    assert shown(user, verdict="NOK") == [risotto]
    assert shown(user, verdict="OK") == []
    assert shown(user, verdict="none") == [gnocchi]
    assert shown(user, category="gnocchi") == [gnocchi]
    assert shown(user, category="gnocchi", project=risotto.project.slug) == []


def test_another_users_verdict_on_the_same_picture_does_not_matter():
    mine = make_prediction()
    theirs = make_prediction(sample=make_sample(mine.project), model_version=mine.model_version)
    make_feedback(theirs, "NOK")
    assert shown(mine.user, verdict="NOK") == []
    assert shown(mine.user, verdict="none") == [mine]


def test_days_are_from_midnight_to_midnight():
    user = make_user()
    old, new = make_history(user, 2)
    Prediction.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=10))
    today = timezone.localdate()
    assert shown(user, since=today.isoformat()) == [new]
    assert shown(user, until=(today - timedelta(days=5)).isoformat()) == [old]
    assert shown(user, since=(today - timedelta(days=12)).isoformat(), until=today.isoformat()) == [
        new,
        old,
    ]
    assert shown(user, since=(today + timedelta(days=2)).isoformat()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user__password", "x"),
        ("ordering", "user__password"),
        ("order", "-id"),
        ("verdict", "MAYBE"),
        ("before", "-1"),
        ("before", "9" * 30),
        ("before", "²"),
        ("since", "yesterday"),
        ("until", "2026-02-31"),
        ("until", "9999-12-31"),
        ("project", "a\x00b"),
    ],
)
def test_what_is_not_on_the_list_is_refused(name, value):
    with pytest.raises(InvalidInput) as refusal:
        prediction_history.parse_filters({name: value})
    assert name in refusal.value.fields


def test_empty_filters_do_not_matter():
    assert (
        prediction_history.parse_filters(dict.fromkeys(prediction_history.ALLOWED, ""))
        == prediction_history.HistoryFilters()
    )

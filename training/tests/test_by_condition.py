"""How well it goes under each capture condition."""

import pytest

from accounts.tests.factories import make_maintainer
from predictions.conditions import record_conditions
from predictions.models import Feedback
from predictions.tests.factories import make_feedback, make_live_model, make_prediction
from training.evaluation import by_condition
from training.models import Evaluation
from training.tests.factories import make_trained

pytestmark = pytest.mark.django_db

OK, NOK = Feedback.Verdict.OK, Feedback.Verdict.NOK


def say(project, verdict: str, **conditions: str) -> None:
    prediction = make_feedback(make_prediction(project=project), verdict).prediction
    record_conditions(prediction.sample, conditions)


def counted(tables) -> dict[str, dict[str, tuple[int, int]]]:
    return {
        table.name: {row.value: (row.right, row.count) for row in table.rows} for table in tables
    }


@pytest.fixture
def project():
    return make_live_model().project


def test_oks_are_counted_by_each_condition(project):
    say(project, OK, line="1", camera="left")
    say(project, NOK, line="1")
    say(project, OK, line="2")
    say(project, OK)
    say(project, Feedback.Verdict.UNSURE, line="2")
    found = counted(by_condition.ok_by_condition(project))
    assert found == {"camera": {"left": (1, 1)}, "line": {"1": (1, 2), "2": (1, 1)}}


def test_other_projects_do_not_count(project):
    say(make_live_model().project, NOK, line="1")
    assert by_condition.ok_by_condition(project) == []
    assert by_condition.ok_by_day(project) is None


def test_only_the_newest_predictions_are_looked_at(project, monkeypatch):
    monkeypatch.setattr(by_condition, "RECENT", 2)
    for verdict in (NOK, OK, OK):
        say(project, verdict, line="1")
    assert counted(by_condition.ok_by_condition(project)) == {"line": {"1": (2, 2)}}


def test_days_stand_newest_first(project):
    say(project, OK)
    say(project, NOK)
    (row,) = by_condition.ok_by_day(project).rows
    assert (row.right, row.count) == (1, 2)


def test_a_drop_is_marked_and_luck_is_not():
    (table,) = by_condition._tables({"line": {"1": (30, 60), "2": (57, 60), "3": (3, 4)}})
    assert [(row.value, row.is_lower) for row in table.rows] == [
        ("1", True),
        ("3", False),
        ("2", False),
    ]


def test_a_lone_value_is_lower_than_nothing():
    (table,) = by_condition._tables({"line": {"1": (1, 60)}})
    assert not table.rows[0].is_lower


def test_of_many_values_those_with_most_samples_are_shown():
    counts = {str(number): (1, number) for number in range(1, 30)}
    (table,) = by_condition._tables({"serial": counts})
    assert table.is_cut and len(table.rows) == by_condition.VALUES
    assert min(row.count for row in table.rows) == 10


def test_a_run_and_the_page_tell_how_often_the_model_was_right(client):
    version = make_trained()
    evaluation = Evaluation.objects.get(model_version=version)
    samples = version.project.samples.filter(pk__in=map(int, evaluation.answers))
    for number, sample in enumerate(samples):
        record_conditions(sample, {"line": str(number % 2)})
    found = counted(by_condition.accuracy_by_condition(evaluation))
    assert sum(count for _right, count in found["line"].values()) == len(evaluation.answers)
    client.force_login(make_maintainer())
    assert "By condition" in client.get(f"/training/runs/{version.run.pk}/").content.decode()
    from predictions import registry

    registry.promote_version(version, by=None)
    page = client.get(f"/training/{version.project.slug}/conditions/")
    assert counted(page.context["tested"]) == found


def test_the_page_costs_the_same_however_much_was_said(
    client, project, django_assert_max_num_queries
):
    for number in range(6):
        say(project, OK, line=str(number))
    client.force_login(make_maintainer())
    with django_assert_max_num_queries(13):
        client.get(f"/training/{project.slug}/conditions/")

import pytest

from predictions.tests.factories import make_feedback, make_live_model, make_project
from review import ground_truth
from review.models import Decision
from review.tests.factories import make_answer, make_decision, make_nok

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    project = make_project()
    make_live_model(project)
    return project


def truth(project) -> dict[int, int]:
    return dict(ground_truth.labelled_samples(project).values_list("pk", "true_category_id"))


def test_the_newest_decision_counts(project):
    sample = make_nok(project)
    gnocchi, risotto = project.categories.filter(name__in=["gnocchi", "risotto"]).order_by("name")
    make_decision(sample, risotto)
    make_decision(sample, gnocchi, outcome=Decision.Outcome.CONFIRMED)
    assert truth(project) == {sample.pk: gnocchi.pk}


def test_a_users_word_alone_is_no_truth(project):
    make_feedback(make_answer(project), "OK")
    make_nok(project, category=project.categories.first())
    assert truth(project) == {}


@pytest.mark.parametrize("outcome", [Decision.Outcome.DISCARDED, Decision.Outcome.REOPENED])
def test_what_was_discarded_or_undone_counts_no_more(project, outcome):
    sample = make_nok(project)
    make_decision(sample, project.categories.first())
    make_decision(sample, outcome=outcome)
    assert truth(project) == {}


def test_other_projects_have_their_own_truth(project):
    make_decision(make_nok(project), project.categories.first())
    assert truth(make_project()) == {}

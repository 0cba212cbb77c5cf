import pytest
from django.template import Context, Template

from predictions.tests.factories import make_category, make_live_model, make_project, make_sample
from review.models import Decision
from review.tests.factories import make_answer, make_decision

pytestmark = pytest.mark.django_db


def outcome(sample) -> str:
    return Template("{% load review_tags %}{% review_outcome sample %}").render(
        Context({"sample": sample})
    )


def test_what_nobody_decided_is_in_review(django_assert_num_queries):
    sample = make_sample()
    with django_assert_num_queries(1):
        assert "In review" in outcome(sample)


def test_a_label_is_told_with_its_date():
    sample = make_sample()
    decision = make_decision(sample, make_category(sample.project, "<b>pizza"))
    assert "Reviewer's decision: &lt;b&gt;pizza" in outcome(sample)
    assert decision.created_at.isoformat()[:10] in outcome(sample)


def test_discarded_and_reopened_are_told():
    sample = make_sample()
    make_decision(sample)
    assert "Discarded" in outcome(sample)
    make_decision(sample, outcome=Decision.Outcome.REOPENED)
    assert "In review" in outcome(sample)


def test_the_outcomes_of_a_list_take_one_query(django_assert_num_queries):
    project = make_project()
    make_live_model(project)
    rows = [make_answer(project) for _ in range(3)]
    make_decision(rows[0].sample)
    page = Template(
        "{% load review_tags %}{% look_up_outcomes rows %}"
        "{% for row in rows %}{% review_outcome row.sample %}{% endfor %}"
    )
    with django_assert_num_queries(1):
        shown = page.render(Context({"rows": rows}))
    assert (shown.count("Discarded"), shown.count("In review")) == (1, 2)

"""Two runs side by side: what they had in common, and what their models know."""

import pytest
from django.urls import reverse

from predictions.tests.factories import make_user
from training import plots
from training.evaluation import run_comparison
from training.tests.factories import label, make_finished_run, make_run, make_trainable

pytestmark = pytest.mark.django_db


@pytest.fixture
def two_runs():
    """Two runs, between which a test picture was relabelled."""
    project = make_trainable()
    first = make_finished_run(project)
    dark = project.samples.filter(decisions__category__name="dark").order_by("-pk").first()
    label(dark, project.categories.get(name="light"))
    return first, make_finished_run(project, seed=3)


def test_facts_that_differ_are_marked(two_runs):
    comparison = run_comparison.compare_runs(*two_runs)
    differ = {fact.name: (fact.first, fact.second) for fact in comparison.facts if fact.differs}
    assert differ == {"Data set": ("1", "2"), "Seed": ("0", "3"), "Model": ("1", "2")}


def test_figures_stand_beside_each_other_with_their_intervals(two_runs):
    comparison = run_comparison.compare_runs(*two_runs)
    accuracy = comparison.overall[0]
    assert (accuracy.first, accuracy.second) == (1.0, pytest.approx(11 / 12))
    low, high = accuracy.second_between
    assert low < 11 / 12 < high
    name, precision, recall = comparison.categories[0]
    assert (name, precision.second, recall.second) == ("dark", pytest.approx(5 / 6), 1.0)


def test_a_difference_that_chance_explains_is_said_to_be_one(two_runs):
    pair = run_comparison.compare_runs(*two_runs).pair
    assert pair.sentence == "Chance alone may explain what tells the two versions apart."
    assert len(pair.broke) == 1


def test_a_model_that_was_not_measured_is_compared_by_its_parameters_alone(two_runs):
    first, second = two_runs
    second.model_version.evaluations.all().delete()
    comparison = run_comparison.compare_runs(first, second)
    assert comparison.pair is None
    assert comparison.facts


def test_curves_are_drawn_over_each_other():
    curves = {"loss": [1.0, 0.5], "validation_loss": [1.0, 0.6, 0.7]}
    (chart,) = plots.overlaid_charts([("Run 1", curves), ("Run 2", {"loss": [2.0, float("nan")]})])
    assert [(line.owner, line.name, line.style) for line in chart.lines] == [
        ("Run 1", "loss", "chart-run-0"),
        ("Run 1", "validation_loss", "chart-run-0 chart-dashed"),
        ("Run 2", "loss", "chart-run-1"),
    ]
    assert len(chart.x_ticks) == 3, "as many steps as the longest has"


class TestPage:
    @pytest.fixture
    def get(self, client):
        client.force_login(make_user("maintainer"))
        return lambda of, **query: client.get(
            reverse("training:compare", args=[of.project.slug]), query
        )

    def test_shows_figures_curves_and_pictures(self, get, two_runs):
        first, second = two_runs
        page = get(first, run=[second.pk, first.pk], kind="broke").content.decode()
        assert f"Runs {first.number} and {second.number}" in page, "the older one first"
        assert f"Run {second.number}: Loss (validation)" in page
        assert page.count('<li class="list-group-item') == 1
        assert "answer broken" in page

    def test_fewer_than_two_or_runs_without_a_model_lead_back(self, get, two_runs):
        first, _second = two_runs
        waiting = make_run(first.project)
        for chosen in ([], [first.pk], [first.pk, waiting.pk], [first.pk, "x"]):
            response = get(first, run=chosen)
            assert response.status_code == 302
            assert response["Location"] == reverse("training:project", args=[first.project.slug])

    def test_a_run_of_another_project_is_not_compared(self, get, two_runs):
        stranger = make_finished_run()
        assert get(two_runs[0], run=[two_runs[0].pk, stranger.pk]).status_code == 302

    def test_runs_are_ticked_in_their_list(self, client, two_runs):
        client.force_login(make_user("maintainer"))
        project = two_runs[0].project
        page = client.get(reverse("training:project", args=[project.slug])).content.decode()
        assert page.count('type="checkbox" name="run"') == 2

"""What more labels are likely to bring."""

import numpy as np
import pytest

from accounts.tests.factories import make_maintainer
from common import jobs
from common.models import Job
from predictions.tests.factories import make_project
from training import plots
from training.evaluation import outlook
from training.runs.outlook import find_outlook
from training.tests.factories import make_finished_run, make_labelled
from training.trainers.dummy import DummyTrainer


def overlapping(count: int, *, classes: int = 3, seed: int = 0):
    """Return vectors of classes that overlap, and the class of each."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = 1.2 * np.eye(12)[:classes]
    return (centres[labels] + rng.normal(size=(count, 12))).astype(np.float32), labels


NAMES = ["gnocchi", "risotto", "tiramisu"]


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    for name, value in (("DRAWS", 3), ("CATEGORY_DRAWS", 2), ("RESAMPLES", 20), ("ITERATIONS", 20)):
        monkeypatch.setattr(outlook, name, value)


def test_a_power_law_is_found_again():
    labels = np.array([10.0, 20, 50, 100, 200])
    law = outlook.fit_power_law(labels, 0.1 + 0.9 * labels**-0.5)
    assert law.floor == pytest.approx(0.1, abs=0.01) and law.power == pytest.approx(0.5)
    assert law.gain(200, 100) == pytest.approx(0.9 * (200**-0.5 - 300**-0.5), abs=1e-3)


def test_a_curve_that_does_not_fall_promises_nothing():
    labels = np.array([10.0, 20, 50])
    for errors in ([0.2, 0.2, 0.2], [0.1, 0.2, 0.3]):
        law = outlook.fit_power_law(labels, np.array(errors))
        assert law.gain(50, 50) == pytest.approx(0, abs=1e-9)


def test_fifty_more_labels_bring_more_than_ten_and_the_interval_holds_the_gain():
    found = outlook.measure_outlook(overlapping(40), overlapping(300, seed=1), NAMES)
    assert found
    assert found.labels[-1] == 40 and found.accuracy[0] < found.accuracy[-1]
    ten, fifty = found.gains["10"], found.gains["50"]
    assert 0 < ten[0] < fifty[0] < 0.5
    assert fifty[1] <= fifty[0] <= fifty[2]
    assert {each.name for each in found.categories} == set(NAMES)
    assert found.forecast[1] > found.forecast[0] > found.accuracy[-1]


@pytest.mark.parametrize(("train", "asked"), [(6, 60), (60, 6)])
def test_of_too_little_nothing_is_said(train, asked):
    assert outlook.measure_outlook(overlapping(train), overlapping(asked), NAMES) is None


def test_of_a_category_that_nothing_measures_nothing_is_said():
    vectors, labels = overlapping(60, seed=1)
    found = outlook.measure_outlook(
        overlapping(60), (vectors[labels != 0], labels[labels != 0]), NAMES
    )
    assert found and {each.name for each in found.categories} == set(NAMES[1:])


def test_the_same_data_give_the_same_outlook():
    first, again = (
        outlook.measure_outlook(overlapping(30), overlapping(60, seed=1), NAMES) for _ in range(2)
    )
    assert first == again


def test_the_chart_goes_on_where_the_measured_curve_ends():
    chart = plots.outlook_chart([10, 20], [0.5, 0.7], [10, 50], [0.75, 0.8])
    measured, forecast = (line.points.split() for line in chart.lines)
    assert measured[-1] == forecast[0] and len(forecast) == 3


@pytest.mark.django_db
class TestRun:
    @pytest.fixture
    def vectors(self, monkeypatch):
        def of(trainer, model, examples, progress):
            rng = np.random.default_rng(0)
            return {
                each.sha256: rng.normal(size=4) + (each.category == "dark") for each in examples
            }

        monkeypatch.setattr(DummyTrainer, "has_vectors", True)
        monkeypatch.setattr(DummyTrainer, "feature_vectors", of)

    def test_it_is_found_after_a_run_and_shown_on_both_pages(self, vectors, client):
        project = make_project(trainer="dummy")
        for name in ("dark", "light"):
            make_labelled(project, name, train=6, test=6)
        run = make_finished_run(project)
        jobs.run_due_jobs("training")
        run.refresh_from_db()
        assert run.outlook["labels"]
        client.force_login(make_maintainer())
        for page in (f"/training/runs/{run.pk}/", f"/training/{project.slug}/"):
            assert "How many more labels?" in client.get(page).content.decode()

    def test_without_vectors_nothing_is_shown(self, client):
        run = make_finished_run()
        jobs.run_due_jobs("training")
        client.force_login(make_maintainer())
        page = client.get(f"/training/runs/{run.pk}/").content.decode()
        assert "How many more labels?" not in page
        assert not Job.objects.filter(status=Job.Status.FAILED).exists()

    def test_of_a_run_that_is_gone_nothing_is_done(self):
        find_outlook(lambda done, total, note="": None, run_key=0)

"""The numbers of runs: from 1 in each project, whatever else is trained."""

import importlib
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import IntegrityError
from django.urls import reverse

from predictions.tests.factories import make_user
from training.models import TrainingRun
from training.runs import sweeps
from training.tests.factories import make_finished_run, make_run, make_trainable

pytestmark = pytest.mark.django_db

migration = importlib.import_module("training.migrations.0020_runs_counted_per_project")


def test_each_project_counts_from_one():
    first, second = make_trainable(), make_trainable()
    runs = [make_finished_run(each) for each in (first, second, first)]
    assert [run.number for run in runs] == [1, 1, 2]


def test_the_runs_of_a_sweep_go_on_counting():
    project = make_trainable()
    make_finished_run(project)
    sweep = sweeps.submit_sweep(project, sweeps.SweepOptions(seeds=(0, 1)))
    assert sorted(sweep.runs.values_list("number", flat=True)) == [2, 3]


def test_no_number_is_given_twice_in_a_project():
    first = make_finished_run()
    second = make_finished_run(first.project)
    with pytest.raises(IntegrityError, match=r"run_number_is_unique|training_trainingrun.number"):
        TrainingRun.objects.filter(pk=second.pk).update(number=first.number)


def test_runs_of_earlier_versions_are_numbered_in_the_order_of_their_keys(monkeypatch):
    monkeypatch.setattr(migration, "CHUNK", 2)
    first, second = make_trainable(), make_trainable()
    runs = [make_finished_run(each) for each in (first, second, first, first)]
    # Numbers that none has: the constraint holds while they are counted anew
    for run in runs:
        TrainingRun.objects.filter(pk=run.pk).update(number=100 + run.pk)
    migration.number_runs(apps, SimpleNamespace())
    assert list(TrainingRun.objects.order_by("pk").values_list("number", flat=True)) == [1, 1, 2, 3]


def test_the_page_shows_the_number_and_not_the_key(client):
    make_finished_run()
    run = make_run()
    assert run.pk != run.number
    client.force_login(make_user("maintainer"))
    page = client.get(reverse("training:run", args=[run.pk])).content.decode()
    assert "Run 1" in page
    assert f"Run {run.pk}" not in page

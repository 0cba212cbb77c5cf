import itertools
import random

import pytest

from predictions import groups as given_groups
from predictions.tests.factories import make_user
from training.data import datasets, near_duplicates
from training.data.groups import connected, find_groups
from training.models import NearDuplicate
from training.runs import execution, sweeps
from training.tests.factories import (
    make_dataset,
    make_finished_run,
    make_labelled,
    make_trainable,
    make_trained,
)

pytestmark = pytest.mark.django_db


def pair(one, other, **fields) -> NearDuplicate:
    first, second = sorted((one, other), key=lambda sample: sample.pk)
    options = {"by": NearDuplicate.By.HASHES, "similarity": 0.98} | fields
    return NearDuplicate.objects.create(first=first, second=second, **options)


def sample_in(dataset, split):
    return dataset.items.filter(split=split).order_by("sample").first().sample


def test_what_is_joined_through_others_is_one_group():
    assert connected([(5, 3), (3, 9), (7, 8), (2, 2)]) == {3: 3, 5: 3, 9: 3, 7: 7, 8: 7}


def test_a_group_takes_the_split_of_its_earliest_sample():
    project = make_trainable()
    before = make_dataset(project)
    first, later = sorted(
        (sample_in(before, "train"), sample_in(before, "test")), key=lambda sample: sample.pk
    )
    given_groups.put_in_group([first, later], "lot 7")
    dataset = make_dataset(project)
    splits = dict(dataset.items.values_list("sample", "split"))
    assert splits[later.pk] == splits[first.pk] == before.items.get(sample=first).split


def test_near_duplicates_are_never_in_two_splits():
    project = make_trainable()
    before = make_dataset(project)
    samples = [sample_in(before, split) for split in ("train", "validation", "test")]
    pair(samples[0], samples[1])
    pair(samples[1], samples[2])
    dataset = make_dataset(project)
    assert dataset.items.filter(sample__in=samples).values("split").distinct().count() == 1
    assert (datasets.leaking_samples(before), datasets.leaking_samples(dataset)) == (3, 0)


def test_whatever_is_joined_no_group_is_torn_apart():
    project = make_trainable()
    make_labelled(project, "dusk", train=30, validation=10, test=10)
    dice = random.Random(7)
    samples = list(project.samples.order_by("pk"))
    for number in range(12):
        given_groups.put_in_group(dice.sample(samples, 3), f"lot {number % 5}")
        pair(*dice.sample(samples, 2)) if number % 2 else None
    groups = find_groups(project)
    splits: dict[int, set[str]] = {}
    for sample, split in make_dataset(project).items.values_list("sample", "split"):
        splits.setdefault(groups.key(sample), set()).add(split)
    assert all(len(found) == 1 for found in splits.values())
    assert len(splits) < len(samples)


def test_a_group_that_grows_stays_where_it_is():
    project = make_trainable()
    before = make_dataset(project)
    old = sample_in(before, "test")
    (new,) = make_labelled(project, "dark", train=1, validation=0, test=0)
    pair(old, new)
    dataset = make_dataset(project)
    assert dataset.items.get(sample=old).split == "test" == dataset.items.get(sample=new).split


def test_what_a_person_declares_apart_is_no_group():
    project = make_trainable()
    dataset = make_dataset(project)
    twins = pair(sample_in(dataset, "train"), sample_in(dataset, "test"))
    near_duplicates.declare_apart(project, twins.pk, by=make_user("reviewer"))
    assert make_dataset(project) == dataset
    with pytest.raises(near_duplicates.NotAPair):
        near_duplicates.declare_apart(make_trainable(), twins.pk, by=make_user("reviewer"))


def test_where_everything_looks_the_same_likeness_keeps_nothing_together():
    project = make_trainable()
    before = make_dataset(project)
    samples = [item.sample for item in before.items.order_by("sample")]
    for one, other in itertools.pairwise(samples):
        pair(one, other, by=NearDuplicate.By.VECTORS)
    pair(samples[0], samples[-1])
    groups = find_groups(project)
    assert set(groups.anchors) == {samples[0].pk, samples[-1].pk}  # the same to look at as well
    assert groups.alike == len(samples)
    given_groups.put_in_group(samples[:12], "lot 7")
    assert len(find_groups(project).anchors) == 13


def test_the_report_says_what_moved_and_why():
    project = make_trainable()
    before = make_dataset(project)
    train, test = sample_in(before, "train"), sample_in(before, "test")
    pair(train, test)
    dataset = make_dataset(project)
    assert before.items.get(sample=test).split == "test"  # what is frozen stays as it is
    assert datasets.split_sentences(dataset)[:2] == [
        "1 group of samples that belong together (2 samples) is in one split as a whole.",
        "1 sample moved from test to training, to its near duplicates.",
    ]
    given_groups.put_in_group([train, test, sample_in(before, "validation")], "board 3")
    assert (
        "1 sample moved from validation to training, to the others of its group."
        in datasets.split_sentences(make_dataset(project))
    )


def test_a_model_is_not_measured_on_groups_that_it_learned_from():
    project = make_trainable()
    version = make_trained(project)
    before = version.run.dataset
    train, test = sample_in(before, "train"), sample_in(before, "test")
    given_groups.put_in_group([train, test], "patient 1")
    dataset = make_dataset(project)
    learned = datasets.learned_before(version, dataset)
    assert learned == ({test.sha256, train.sha256} if test.pk < train.pk else set())
    assert datasets.learned_before(version, before) == set()


def test_pictures_that_moved_to_test_are_told_by_the_model_that_learned_from_them():
    project = make_trainable()
    version = make_trained(project)
    before = version.run.dataset
    test = before.items.filter(split="test").order_by("sample").first().sample
    train = before.items.filter(split="train", sample__gt=test).order_by("sample").first().sample
    pair(test, train)
    dataset = make_dataset(project)
    assert dataset.items.get(sample=train).split == "test"
    assert datasets.learned_before(version, dataset) == {test.sha256, train.sha256}


@pytest.fixture
def pair_found_late(monkeypatch):
    """Let the search before a run find a pair that nobody knew when the data set was frozen."""

    def found_late(project, progress=None):
        if not NearDuplicate.objects.exists():
            dataset = project.datasets.get()
            pair(sample_in(dataset, "train"), sample_in(dataset, "test"))
        return 1

    monkeypatch.setattr(near_duplicates, "find_by_hashes", found_late)


def test_a_run_gets_a_data_set_without_leaks(pair_found_late):
    project = make_trainable()
    dataset = make_dataset(project)
    run = make_finished_run(project)
    assert run.status == "succeeded"
    assert datasets.leaking_samples(run.dataset) == 0
    assert (dataset.number, run.dataset.number) == (1, 2)
    assert "Data set version 2, in which" in run.log


def test_the_runs_of_a_sweep_get_it_together(pair_found_late):
    project = make_trainable()
    sweep = sweeps.submit_sweep(project, sweeps.SweepOptions(seeds=(0, 1)), by=None)
    execution.execute_run(sweep.runs.order_by("pk").first())
    sweep.refresh_from_db()
    assert sweep.dataset.number == 2
    assert set(sweep.runs.values_list("dataset", flat=True)) == {sweep.dataset_id}


def test_a_data_set_that_was_learned_from_is_trained_on_again_as_it_is(monkeypatch):
    project = make_trainable()
    first = make_finished_run(project)
    monkeypatch.setattr(near_duplicates, "find_by_hashes", lambda *_args: pytest.fail("asked"))
    second = make_finished_run(project)
    assert (second.status, second.dataset) == ("succeeded", first.dataset)

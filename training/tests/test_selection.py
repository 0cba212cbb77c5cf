"""`auto`: which backbone is taken, and what is said of it."""

from dataclasses import replace

import numpy as np
import pytest

from predictions.tests import tiny_model
from training import backbones
from training.backbones.base import Backbone
from training.features.cache import FeatureCache
from training.tests.trainer_contract import make_task
from training.trainers.local import selection

DIGESTS = {"lite0-160": "1" * 32, "lite0": "2" * 32}


@pytest.fixture(autouse=True)
def two_backbones(settings, tmp_path, monkeypatch):
    """Two that have seen the pictures already: the large one can tell them apart."""
    disk = {
        "BACKEND": "common.storages.DiskStorage",
        "OPTIONS": {"location": str(tmp_path / "kept")},
    }
    settings.DATA_DIR, settings.STORAGES = tmp_path, settings.STORAGES | {"models": disk}
    settings.CLASSIFR_WEIGHTS_DIR = ""
    for name, digest in DIGESTS.items():
        file = tiny_model.FILE
        backbone = Backbone(name, digest, 16, 3, lambda: None, served=file, reference=file)
        monkeypatch.setitem(backbones.FROZEN, name, lambda parameters, found=backbone: found)


@pytest.fixture
def task():
    examples = [replace(each, read=None) for each in make_task(60).examples]
    return make_task(examples=[each for each in examples if each.split != "test"])


def keep_vectors(task, name: str, spread: float) -> None:
    names = list(task.class_names)
    labels = [names.index(each.category) for each in task.examples]
    noise = np.random.default_rng(3).normal(0, spread, (len(labels), 3))
    samples = [each.sha256 for each in task.examples]
    FeatureCache(DIGESTS[name]).put(samples, (np.eye(3)[labels] + noise).astype(np.float32))


def choose(task):
    return selection.extract_with_best(task, lambda done, total, note="": None)


@pytest.mark.parametrize("better", DIGESTS)
def test_the_lower_validation_loss_decides(task, better):
    for name in DIGESTS:
        keep_vectors(task, name, 0.1 if name == better else 2.0)
    features, fitted = choose(task)
    assert features.backbone["name"] == better
    assert fitted.validation_loss < 0.5
    [told] = features.notes
    assert told.startswith("Backbones compared by their validation loss: lite0-160 ")
    assert f"{better} was chosen" in told


def test_what_costs_too_much_is_not_compared_and_that_is_told(task, settings, monkeypatch):
    costs = {"lite0-160": 4.0, "lite0": 8.0}
    monkeypatch.setattr(selection, "network_milliseconds", lambda name, task: costs[name])
    settings.AUTO_BACKBONE_CPU_MS = 5.0
    keep_vectors(task, "lite0-160", 2.0)
    features, _fitted = choose(task)
    assert features.backbone["name"] == "lite0-160"
    assert "lite0 was not compared: it takes 8.0 ms of CPU per picture" in features.notes[0]


def test_where_all_cost_too_much_the_cheapest_is_taken(task, settings, monkeypatch):
    costs = {"lite0-160": 4.0, "lite0": 8.0}
    monkeypatch.setattr(selection, "network_milliseconds", lambda name, task: costs[name])
    settings.AUTO_BACKBONE_CPU_MS = 1.0
    keep_vectors(task, "lite0-160", 2.0)
    assert choose(task)[0].backbone["name"] == "lite0-160"


def test_one_that_would_leave_samples_out_is_not_compared(task):
    keep_vectors(task, "lite0", 2.0)
    keep_vectors(replace(task, examples=task.examples[:-5]), "lite0-160", 0.1)
    features, _fitted = choose(task)
    assert features.backbone["name"] == "lite0"
    assert "lite0-160 was not compared: of 5 samples it has no feature vector." in features.notes


def test_with_few_validation_samples_the_large_one_is_taken(task):
    few = [each for each in task.examples if each.split == "train"]
    small = replace(task, examples=few)
    for name in DIGESTS:
        keep_vectors(small, name, 0.1 if name == "lite0-160" else 2.0)
    features, _fitted = choose(small)
    assert features.backbone["name"] == "lite0"
    assert features.notes == ["Too few validation samples to compare backbones: lite0 was taken."]


def test_the_cost_is_measured_on_this_machine(task):
    assert selection.network_milliseconds("lite0", task) > 0


class TestCategoriesWithoutPictures:
    @pytest.fixture
    def with_pizza(self, task):
        """One category more, which no picture shows and ImageNet knows."""
        names = tuple(sorted({*task.class_names, "pizza"}))
        return replace(task, class_names=names, known={"pizza": [1]})

    @pytest.fixture(autouse=True)
    def one_that_knows(self, monkeypatch):
        """Only the large backbone comes with ImageNet's head, of two classes."""
        head = (np.eye(3, 2, dtype=np.float32), np.zeros(2, np.float32))
        knowing = replace(backbones.FROZEN["lite0"]({}), imagenet_head=lambda: head)
        monkeypatch.setitem(backbones.FROZEN, "lite0", lambda parameters: knowing)

    def test_only_a_backbone_that_knows_them_is_compared(self, with_pizza):
        keep_vectors(with_pizza, "lite0-160", 0.1)
        keep_vectors(with_pizza, "lite0", 2.0)
        features, fitted = choose(with_pizza)
        assert features.backbone["name"] == "lite0"
        assert fitted.head.kernel.shape == (3, len(with_pizza.class_names))
        assert "lite0-160 was not compared: it knows no category without pictures." in (
            features.notes
        )

    def test_with_a_picture_of_each_all_are_compared(self, task):
        for name in DIGESTS:
            keep_vectors(task, name, 0.1 if name == "lite0-160" else 2.0)
        assert choose(task)[0].backbone["name"] == "lite0-160"

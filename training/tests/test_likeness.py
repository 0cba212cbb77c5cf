import numpy as np
import pytest

from predictions.predictors.local import preprocessing
from predictions.tests.factories import make_live_model, make_project
from review import likeness
from training.features.cache import FeatureCache
from training.likeness import cached_vectors

pytestmark = pytest.mark.django_db
SAMPLES = ["a" * 64, "b" * 64]


def make_project_with_backbone(**backbone):
    project = make_project()
    version = make_live_model(project)
    version.manifest = {"backbone": {"digest": "d" * 32, "frozen": True} | backbone}
    version.save()
    return project


@pytest.fixture
def cache():
    cache = FeatureCache("d" * 32, preprocessing.CENTRED)
    cache.put(SAMPLES, np.eye(2, 4, dtype=np.float32))
    return cache


def test_the_review_knows_the_cached_vectors_of_the_live_models_backbone(cache):
    project = make_project_with_backbone()
    found = likeness.known_vectors(project, [*SAMPLES, "c" * 64])
    assert set(found) == set(SAMPLES)
    assert found[SAMPLES[0]].tolist() == [1, 0, 0, 0]


def test_a_network_that_learned_has_no_vectors_worth_keeping(cache):
    assert cached_vectors(make_project_with_backbone(frozen=False), SAMPLES) == {}


def test_without_a_model_there_are_no_vectors(cache):
    assert cached_vectors(make_project(), SAMPLES) == {}
    project = make_project()
    make_live_model(project)
    assert cached_vectors(project, SAMPLES) == {}


def test_who_cannot_wait_gets_no_further_shard(cache):
    assert list(cache.iter_blocks(SAMPLES, until=0)) == []
    assert len(list(cache.iter_blocks(SAMPLES))) == 1

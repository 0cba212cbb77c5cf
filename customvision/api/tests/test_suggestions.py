"""Suggested images: what is proposed for a label, as programs for Custom Vision read it."""

import pytest

from common import jobs
from customvision.api.tests.factories import make_caller, make_published
from predictions import registry
from predictions.tests.factories import make_picture_bytes
from training.models import TrainingRun
from training.pool import proposals

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(monkeypatch):
    """A published project with two untagged images that were ranked."""
    monkeypatch.setattr(proposals, "pool_vectors", lambda project, samples, progress: {})
    monkeypatch.setattr(proposals, "split_of", lambda sha256: "test")  # both are drawn
    caller = make_caller()
    project, tags, iteration = make_published(caller)
    registry.promote_version(TrainingRun.objects.get(project=project).model_version, by=None)
    for shade in (20, 220):
        data = make_picture_bytes((shade, shade, shade))
        caller.training("POST", f"projects/{project.uuid}/images", data)
    proposals.request_ranking(project)
    jobs.run_due_jobs("training")
    return caller, project, tags, iteration


def ask(world, ending: str = "", **body):
    caller, project, _tags, iteration = world
    path = f"projects/{project.uuid}/images/suggested{ending}?iterationId={iteration}"
    return caller.training("POST", path, body)


def test_untagged_images_are_suggested_with_scores_and_uncertainty(world):
    answer = ask(world, sortBy="UncertaintyDescending").json()
    first, second = answer["results"]
    assert first["predictionUncertainty"] >= second["predictionUncertainty"]
    assert {each["tagName"] for each in first["predictions"]} == {"dark", "light"}
    assert answer["token"]["continuation"] == ""


def test_a_tag_and_a_threshold_filter(world):
    tags = world[2]
    one = ask(world, tagIds=[tags["dark"]], threshold=0.6).json()["results"]
    assert len(one) == 1
    counts = ask(world, "/count", tagIds=[tags["dark"], tags["light"]], threshold=0.6).json()
    assert counts == {tags["dark"]: 1, tags["light"]: 1}


def test_a_tagged_image_is_suggested_no_more(world):
    caller, project, tags, _iteration = world
    image = ask(world).json()["results"][0]["id"]
    pair = {"imageId": image, "tagId": tags["dark"]}
    caller.training("POST", f"projects/{project.uuid}/images/tags", {"tags": [pair]})
    assert len(ask(world).json()["results"]) == 1


def test_without_an_iteration_or_with_too_much_it_is_refused(world):
    caller, project, *_rest = world
    assert (
        caller.training("POST", f"projects/{project.uuid}/images/suggested", {}).status_code == 400
    )
    assert ask(world, maxCount=1000).status_code == 400


def test_an_iteration_that_is_not_the_ranked_one_has_none(world):
    caller, project, *_rest = world
    project.pool_rankings.update(model_version=None)
    assert ask(world).json()["results"] == []

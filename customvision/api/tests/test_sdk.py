"""The official SDK runs the quick-start over real HTTP, with our endpoint and keys."""

import io

import pytest
from azure.cognitiveservices.vision.customvision.prediction import CustomVisionPredictionClient
from azure.cognitiveservices.vision.customvision.training import CustomVisionTrainingClient
from azure.cognitiveservices.vision.customvision.training.models import (
    CustomVisionErrorException,
    ImageFileCreateBatch,
    ImageFileCreateEntry,
    ImageIdCreateBatch,
    ImageIdCreateEntry,
    ImageTagCreateEntry,
    PredictionQueryToken,
    Region,
)
from msrest.authentication import ApiKeyCredentials
from msrest.exceptions import HttpOperationError

from accounts.tests.factories import make_maintainer, make_token, make_user
from common import jobs, tasks
from predictions.models import Project, Sample
from predictions.tests.factories import make_picture_bytes

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def trainer(live_server, settings):
    settings.DEFAULT_TRAINER = "dummy"
    tasks.autodiscover()
    credentials = ApiKeyCredentials(in_headers={"Training-key": make_token(make_maintainer())})
    with CustomVisionTrainingClient(live_server.url, credentials) as client:
        yield client


@pytest.fixture
def predictor(live_server):
    credentials = ApiKeyCredentials(in_headers={"Prediction-key": make_token(make_user())})
    with CustomVisionPredictionClient(f"{live_server.url}/", credentials) as client:
        yield client


def plate(shade: int) -> bytes:
    return make_picture_bytes((shade, shade, shade), format="PNG")


def train(trainer, project, **options):
    iteration = trainer.train_project(project.id, **options)
    assert iteration.status == "Training"
    jobs.run_due_jobs("training")
    iteration = trainer.get_iteration(project.id, iteration.id)
    assert iteration.status == "Completed"
    return iteration


def test_the_quick_start(trainer, predictor):
    # Create, tag
    domain = next(
        one for one in trainer.get_domains() if one.type == "Classification" and one.name == "Food"
    )
    project = trainer.create_project(
        "Plates", description="What is on it", domain_id=domain.id, classification_type="Multiclass"
    )
    assert project.settings.classification_type == "Multiclass"
    dark, light = trainer.create_tag(project.id, "dark"), trainer.create_tag(project.id, "light")
    # Upload: files in a batch, data without a file name
    batch = ImageFileCreateBatch(
        images=[
            ImageFileCreateEntry(name=f"{shade}.png", contents=plate(shade), tag_ids=[tag.id])
            for tag, shades in ((dark, range(5, 14)), (light, range(230, 239)))
            for shade in shades
        ]
    )
    summary = trainer.create_images_from_files(project.id, batch)
    assert summary.is_batch_successful and {image.status for image in summary.images} == {"OK"}
    summary = trainer.create_images_from_data(project.id, io.BytesIO(plate(60)), tag_ids=[dark.id])
    assert summary.images[0].status == "OK" and summary.images[0].image.tags[0].tag_name == "dark"
    again = trainer.create_images_from_data(project.id, plate(60), tag_ids=[dark.id])
    assert not again.is_batch_successful and again.images[0].status == "OKDuplicate"
    assert trainer.get_tagged_image_count(project.id) == 19
    assert {tag.name: tag.image_count for tag in trainer.get_tags(project.id)} == {
        "dark": 10,
        "light": 9,
    }
    # Train, publish
    iteration = train(trainer, project)
    with pytest.raises(CustomVisionErrorException, match="Nothing changed since last training"):
        trainer.train_project(project.id)
    assert (
        0 <= trainer.get_iteration_performance(project.id, iteration.id, threshold=0.5).recall <= 1
    )
    assert (
        trainer.publish_iteration(project.id, iteration.id, "my model", "/subscriptions/x") is True
    )
    assert trainer.get_iteration(project.id, iteration.id).publish_name == "my model"
    # Classify
    answer = predictor.classify_image(project.id, "my model", plate(20), application="phone")
    assert [one.tag_name for one in answer.predictions] == ["dark", "light"]
    assert sum(one.probability for one in answer.predictions) == pytest.approx(1)
    unkept = predictor.classify_image_with_no_store(project.id, "my model", io.BytesIO(plate(222)))
    assert unkept.predictions[0].tag_id == light.id and unkept.iteration == iteration.id
    # Query, learn from it, re-tag
    found = trainer.query_predictions(
        project.id, PredictionQueryToken(application="phone", order_by="Newest")
    )
    assert [one.id for one in found.results] == [answer.id]
    ids = ImageIdCreateBatch(images=[ImageIdCreateEntry(id=answer.id, tag_ids=[light.id])])
    learned = trainer.create_images_from_predictions(project.id, ids).images[0].image
    tags = [ImageTagCreateEntry(image_id=learned.id, tag_id=dark.id)]
    assert len(trainer.create_image_tags(project.id, tags).created) == 1
    assert trainer.get_images_by_ids(project.id, [learned.id])[0].tags[0].tag_name == "dark"
    trainer.delete_image_tags(project.id, [learned.id], [dark.id])
    assert [image.id for image in trainer.get_untagged_images(project.id)] == [learned.id]
    assert trainer.get_untagged_images(project.id)[0].tags is None
    trainer.create_image_tags(project.id, tags)
    assert train(trainer, project).name == "Iteration 2"
    # Delete
    trainer.delete_prediction(project.id, [answer.id])
    assert trainer.query_predictions(project.id, PredictionQueryToken()).results == []
    trainer.delete_images(project.id, [learned.id])
    with pytest.raises(CustomVisionErrorException, match="[Uu]npublish"):
        trainer.delete_project(project.id)
    trainer.unpublish_iteration(project.id, iteration.id)
    trainer.delete_iteration(project.id, iteration.id)
    trainer.delete_tag(project.id, light.id)
    assert [tag.name for tag in trainer.get_tags(project.id)] == ["dark"]
    trainer.delete_project(project.id)
    assert trainer.get_projects() == [] and not Project.objects.exists()
    jobs.run_due_jobs()
    assert not Project.everywhere.exists() and not Sample.objects.exists()


def test_a_quick_test_answers_before_anything_is_published(trainer):
    project = trainer.create_project("Plates")
    for name, shades in (("dark", range(5, 14)), ("light", range(230, 239))):
        tag = trainer.create_tag(project.id, name)
        for shade in shades:
            trainer.create_images_from_data(project.id, plate(shade), tag_ids=[tag.id])
    train(trainer, project)
    assert trainer.quick_test_image(project.id, plate(3)).predictions[0].tag_name == "dark"


def test_refusals_reach_the_program_as_errors_of_the_sdk(trainer, predictor, live_server):
    project = trainer.create_project("Plates")
    tag = trainer.create_tag(project.id, "dark")
    with pytest.raises(CustomVisionErrorException, match="not unique"):
        trainer.create_tag(project.id, "dark")
    with pytest.raises(CustomVisionErrorException, match="Unknown classification type"):
        trainer.create_project("Many", classification_type="Both")
    with pytest.raises(CustomVisionErrorException, match="too little"):
        trainer.train_project(project.id)
    with pytest.raises(CustomVisionErrorException, match="takes no regions"):
        region = Region(tag_id=tag.id, left=0, top=0, width=1, height=1)
        entry = ImageFileCreateEntry(name="a", contents=plate(1), regions=[region])
        trainer.create_images_from_files(project.id, ImageFileCreateBatch(images=[entry]))
    with pytest.raises(HttpOperationError, match="Invalid iteration"):
        predictor.classify_image(project.id, "none", plate(1))
    wrong = ApiKeyCredentials(in_headers={"Training-key": "wrong"})
    refused = pytest.raises(CustomVisionErrorException, match="Access denied due to invalid")
    with CustomVisionTrainingClient(live_server.url, wrong) as stranger, refused:
        stranger.get_projects()

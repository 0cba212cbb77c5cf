"""The stand-in is like the service: the SDK can use it, the OpenAPI files allow its responses."""

import pytest
import requests
from azure.cognitiveservices.vision.customvision.prediction import CustomVisionPredictionClient
from azure.cognitiveservices.vision.customvision.training import CustomVisionTrainingClient
from azure.cognitiveservices.vision.customvision.training.models import (
    CustomVisionErrorException,
    ImageFileCreateBatch,
    ImageFileCreateEntry,
    ImageIdCreateBatch,
    ImageIdCreateEntry,
    ImageTagCreateEntry,
    ImageUrlCreateBatch,
    ImageUrlCreateEntry,
    Iteration,
    PredictionQueryToken,
    Tag,
)
from msrest.authentication import ApiKeyCredentials
from msrest.exceptions import ClientRequestError

from customvision.api.tests import schema
from customvision.client.tests import faults
from customvision.client.tests.calls import ROUTES
from customvision.client.tests.stand_in import VERSIONS
from predictions.tests.factories import make_picture_bytes


@pytest.fixture
def trainer(custom_vision):
    credentials = ApiKeyCredentials(in_headers={"Training-key": custom_vision.training_key})
    with CustomVisionTrainingClient(custom_vision.endpoint, credentials) as client:
        client.config.retry_policy.policy.total = 0
        yield client


@pytest.fixture
def predictor(custom_vision):
    credentials = ApiKeyCredentials(in_headers={"Prediction-key": custom_vision.prediction_key})
    with CustomVisionPredictionClient(f"{custom_vision.endpoint}/", credentials) as client:
        yield client


def plate(shade: int) -> bytes:
    return make_picture_bytes((shade, shade, shade), format="PNG")


def upload(trainer, project, tag, shades):
    images = [
        ImageFileCreateEntry(name=f"{shade}", contents=plate(shade), tag_ids=[tag.id])
        for shade in shades
    ]
    return trainer.create_images_from_files(project.id, ImageFileCreateBatch(images=images))


def make_plates(trainer):
    project = trainer.create_project("Plates", classification_type="Multiclass")
    dark, light = trainer.create_tag(project.id, "dark"), trainer.create_tag(project.id, "light")
    assert upload(trainer, project, dark, range(5, 10)).is_batch_successful
    assert upload(trainer, project, light, range(230, 235)).is_batch_successful
    return project, dark, light


def train(trainer, project):
    iteration = trainer.train_project(project.id)
    while iteration.status == "Training":
        iteration = trainer.get_iteration(project.id, iteration.id)
    return iteration


def test_the_sdk_goes_through_everything_and_the_specification_allows_every_answer(
    custom_vision, trainer, predictor
):
    service = custom_vision
    trainer.get_domains()
    project, dark, light = make_plates(trainer)
    assert [one.id for one in trainer.get_projects()] == [trainer.get_project(project.id).id]
    again = trainer.create_images_from_data(project.id, plate(7), tag_ids=[dark.id])
    assert (again.is_batch_successful, again.images[0].status) == (False, "OKDuplicate")
    assert trainer.get_tagged_image_count(project.id) == 10
    assert {tag.name: tag.image_count for tag in trainer.get_tags(project.id)} == {
        "dark": 5,
        "light": 5,
    }
    service.web["http://example.com/a"] = plate(1)
    iteration = train(trainer, project)
    assert (iteration.status, iteration.exportable_to) == ("Completed", [])
    with pytest.raises(CustomVisionErrorException, match="Nothing changed since last training"):
        trainer.train_project(project.id)
    performance = trainer.get_iteration_performance(project.id, iteration.id, threshold=0.5)
    assert performance.precision == 1 and {one.name for one in performance.per_tag_performance} == {
        "dark",
        "light",
    }
    assert (
        trainer.publish_iteration(project.id, iteration.id, "my model", service.resource_id) is True
    )
    assert trainer.get_iterations(project.id)[0].publish_name == "my model"
    # Classify, ask for it again, learn from it, tag
    answer = predictor.classify_image(project.id, "my model", plate(20), application="phone")
    assert [one.tag_name for one in answer.predictions] == ["dark", "light"]
    assert sum(one.probability for one in answer.predictions) == pytest.approx(1)
    assert (
        predictor.classify_image_with_no_store(project.id, "my model", plate(222))
        .predictions[0]
        .tag_id
        == light.id
    )
    predictor.classify_image_url(project.id, "my model", "http://example.com/a")
    predictor.classify_image_url_with_no_store(project.id, "my model", "http://example.com/a")
    assert trainer.quick_test_image(project.id, plate(3)).predictions[0].tag_name == "dark"
    trainer.quick_test_image_url(project.id, "http://example.com/a", store=False)
    found = trainer.query_predictions(
        project.id, PredictionQueryToken(application="phone", order_by="Newest")
    )
    assert [one.id for one in found.results] == [answer.id]
    first = trainer.query_predictions(
        project.id, PredictionQueryToken(max_count=1, order_by="Oldest")
    )
    second = trainer.query_predictions(project.id, first.token)
    assert first.results[0].id != second.results[0].id
    ids = ImageIdCreateBatch(images=[ImageIdCreateEntry(id=answer.id)])
    learned = trainer.create_images_from_predictions(project.id, ids).images[0].image
    assert [one.id for one in trainer.get_untagged_images(project.id)] == [learned.id]
    assert trainer.get_untagged_images(project.id)[0].tags is None
    assert (
        trainer.get_untagged_image_count(project.id) == 1
        and trainer.get_image_count(project.id) == 11
    )
    trainer.create_image_tags(
        project.id, [ImageTagCreateEntry(image_id=learned.id, tag_id=dark.id)]
    )
    exceeded = trainer.create_image_tags(
        project.id, [ImageTagCreateEntry(image_id=learned.id, tag_id=light.id)]
    )
    assert len(exceeded.exceeded) == 1
    trainer.delete_image_tags(project.id, [learned.id], [dark.id])
    trainer.get_images_by_ids(project.id, [learned.id])
    entries = [ImageUrlCreateEntry(url=f"http://example.com/{name}") for name in ("a", "gone")]
    fetched = trainer.create_images_from_urls(
        project.id, ImageUrlCreateBatch(images=entries)
    ).images
    assert [one.status for one in fetched] == ["OK", "ErrorSource"]
    trainer.delete_images(project.id, [fetched[0].image.id])
    assert (
        len(trainer.get_images(project.id, take=3)) == 3
        and len(trainer.get_tagged_images(project.id)) == 10
    )
    trainer.update_tag(project.id, dark.id, Tag(name="darker", description="x", type="Regular"))
    assert trainer.get_tag(project.id, dark.id).name == "darker"
    trainer.update_iteration(project.id, iteration.id, Iteration(name="The first"))
    # Delete
    trainer.delete_prediction(project.id, [answer.id])
    trainer.delete_images(project.id, [learned.id])
    with pytest.raises(CustomVisionErrorException, match="Unpublish"):
        trainer.delete_project(project.id)
    trainer.unpublish_iteration(project.id, iteration.id)
    trainer.delete_iteration(project.id, iteration.id)
    trainer.delete_tag(project.id, light.id)
    trainer.delete_project(project.id)
    assert {route.name for route in ROUTES} == {one.operation for one in service.received}
    assert problems_of(service) == []


def problems_of(service) -> list[str]:
    if not schema.SPECS.exists():
        pytest.skip("the official files are not in ../shared/customvision")
    found = []
    for one in service.received:
        route = next(route for route in ROUTES if route.name == one.operation)
        place = (route.area, VERSIONS[route.area], route.method, route.template)
        found += [
            f"{one.operation}: {problem}"
            for problem in schema.problems(*place, one.status, one.body)
        ]
    return found


def test_every_fault_is_in_a_form_that_the_specification_or_the_gateway_knows(
    custom_vision, trainer
):
    several = [faults.too_many(), faults.server_error(), faults.wrong_key(), faults.quota_reached()]
    custom_vision.fail("train_project", *several)
    project, _dark, _light = make_plates(trainer)
    for _fault in several:
        with pytest.raises(CustomVisionErrorException):
            trainer.train_project(project.id)
    assert [one.status for one in custom_vision.calls("train_project")] == [429, 500, 401, 400]
    assert problems_of(custom_vision) == []


def test_a_wrong_key_is_refused_in_the_form_of_the_gateway(custom_vision):
    credentials = ApiKeyCredentials(in_headers={"Training-key": "wrong"})
    refused = pytest.raises(CustomVisionErrorException, match="Access Denied")
    with CustomVisionTrainingClient(custom_vision.endpoint, credentials) as stranger, refused:
        stranger.get_projects()


def test_a_fault_comes_once_and_then_all_is_well(custom_vision, trainer):
    custom_vision.fail("create_project", faults.reset())
    with pytest.raises(ClientRequestError):
        trainer.create_project("Plates")
    assert not custom_vision.projects
    assert trainer.create_project("Plates")


def test_an_answer_can_be_lost_after_the_work_was_done(custom_vision, trainer):
    custom_vision.fail("create_project", faults.reset(done=True))
    with pytest.raises(ClientRequestError):
        trainer.create_project("Plates")
    assert [one.name for one in custom_vision.projects.values()] == ["Plates"]
    assert [one.took_effect for one in custom_vision.calls("create_project")] == [True]


def test_it_can_be_slow(custom_vision, trainer):
    custom_vision.fail("get_projects", faults.slow(60))
    with pytest.raises(ClientRequestError):
        trainer.get_projects(timeout=0.2)


def test_training_can_fail(custom_vision, trainer):
    custom_vision.training_fails = True
    project, _dark, _light = make_plates(trainer)
    iteration = train(trainer, project)
    assert (iteration.status, iteration.publish_name) == ("Failed", None)
    assert "no capacity" in iteration.training_error_details


def test_links_need_no_key_and_expire(custom_vision, trainer):
    project, dark, _light = make_plates(trainer)
    link = trainer.get_tagged_images(project.id, tag_ids=[dark.id])[0].original_image_uri
    assert requests.get(link, timeout=10).content in [plate(shade) for shade in range(5, 10)]
    assert custom_vision.leaked_keys == 0
    requests.get(link, headers={"Training-Key": custom_vision.training_key}, timeout=10)
    assert custom_vision.leaked_keys == 1
    custom_vision.expire_links()
    assert requests.get(link, timeout=10).status_code == 403


def test_what_really_was_taken_in_is_counted(custom_vision, trainer):
    project, dark, light = make_plates(trainer)
    upload(trainer, project, dark, [5, 40])
    taken = custom_vision.times_taken(["create_images_from_files"])
    assert sorted(taken.values()) == [1] * 10 + [2]


def test_a_batch_has_limits(custom_vision, trainer):
    project, dark, _light = make_plates(trainer)
    with pytest.raises(CustomVisionErrorException, match="at most 64"):
        upload(trainer, project, dark, range(40, 105))
    upload(trainer, project, trainer.create_tag(project.id, "third"), [150])
    with pytest.raises(CustomVisionErrorException, match="Not enough images"):
        trainer.train_project(project.id)


def test_a_negative_tag_is_told(trainer):
    project = trainer.create_project("Plates", classification_type="Multiclass")
    assert trainer.create_tag(project.id, "none of them", type="Negative").type == "Negative"

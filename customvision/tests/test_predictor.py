"""The predictor of Azure Custom Vision against the stand-in: predictions, faults, messages."""

import logging
import traceback

import numpy as np
import pytest
from django.test import Client
from django.utils import timezone
from PIL import Image

from accounts.tests.factories import make_token
from common import jobs, tasks
from common.errors import DomainError
from common.media.images import Picture
from common.models import Job
from customvision.client import client as client_module
from customvision.client import rate_limits
from customvision.client.tests import faults
from customvision.client.tests.stand_in import StandIn
from customvision.client.tests.world import Iteration, Project, Tag
from customvision.predictor import CustomVisionPredictor, PublishedModel
from predictions import batch_answers, batches, classification, registry
from predictions.models import Prediction
from predictions.predictors.base import ModelRef, PredictorError, PredictorUnavailable, predictors
from predictions.tests.factories import (
    make_live_model,
    make_model_version,
    make_picture_bytes,
    make_project,
    make_upload,
    make_user,
)
from predictions.tests.predictor_contract import PredictorContract, picture_of

CLASS_NAMES = ("dark", "light")


def publish(service: StandIn, *, names: tuple[str, ...] = CLASS_NAMES) -> ModelRef:
    """Have the service know a project with a published iteration, which tells dark from light."""
    project = Project("Plates")
    for place, name in enumerate(names):
        tag = Tag(name)
        project.tags[tag.id] = tag
        for number in range(5):
            shade = round(255 * place / (len(names) - 1)) - number * (1 if place else -1)
            project.put(make_picture_bytes((shade,) * 3, format="PNG"), [tag.id])
    iteration = Iteration(
        "Iteration 1", "", project.learn(), 0, status="Completed", publish_name="classifr-1"
    )
    project.iterations[iteration.id] = iteration
    service.projects[project.id] = project
    return ModelRef(str(PublishedModel(project.id, iteration.id, "classifr-1")), names)


def options_of(service: StandIn, **options) -> dict:
    return {"endpoint": service.endpoint, "key": service.prediction_key} | options


@pytest.fixture(autouse=True)
def no_limits(monkeypatch):
    """The tiers' limits are tested with the client; here they would only take time."""
    for table in (rate_limits.PREDICTIONS_PER_SECOND, rate_limits.PREDICTIONS_PER_SECOND_UNKEPT):
        for tier in table:
            monkeypatch.setitem(table, tier, 1000)


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    made: list[float] = []
    monkeypatch.setattr(client_module.time, "sleep", made.append)
    monkeypatch.setattr(client_module.random, "uniform", lambda least, most: 0)
    return made


@pytest.fixture
def predictor(custom_vision) -> CustomVisionPredictor:
    return CustomVisionPredictor(alias="azure", **options_of(custom_vision))


@pytest.fixture
def model(custom_vision) -> ModelRef:
    return publish(custom_vision)


@pytest.fixture
def azure(custom_vision, settings):
    """A project whose live model is at Azure, and which has a local one, too."""
    backend = {
        "BACKEND": "customvision.predictor.CustomVisionPredictor",
        "OPTIONS": options_of(custom_vision),
    }
    settings.PREDICTORS = settings.PREDICTORS | {"azure": backend}
    settings.FALL_BACK_TO = {}
    project = make_project(slug="plates")
    make_live_model(project, CLASS_NAMES)
    return make_live_model(
        project, CLASS_NAMES, predictor="azure", reference=publish(custom_vision).reference
    )


class TestContract(PredictorContract):
    @pytest.fixture
    def broken_model(self, model):
        return ModelRef("nothing", model.class_names)


class TestAnswers:
    def test_the_model_really_looks_at_the_picture(self, predictor, model):
        (dark,), (light,) = (
            predictor.predict([picture_of(colour)], model) for colour in ("black", "white")
        )
        assert dark["dark"] > 0.9 and light["light"] > 0.9

    def test_nothing_is_kept_at_azure_unless_asked(self, custom_vision, predictor, model):
        predictor.predict([picture_of("black")], model)
        (call,) = custom_vision.received
        assert call.operation == "classify_image_with_no_store"
        assert call.query == {"application": "classifr"}

    def test_answers_are_kept_at_azure_by_a_setting(self, custom_vision, model):
        predictor = CustomVisionPredictor(alias="azure", **options_of(custom_vision, store=True))
        predictor.warm_up(model)
        predictor.predict([picture_of("black")], model)
        (project,) = custom_vision.projects.values()
        assert len(project.predictions) == 1, "the one that was asked for, not that of loading"

    def test_augmentation_asks_about_each_crop(self, custom_vision, predictor, model):
        centre = Image.new("RGB", (100, 100), "white")
        centre.paste((0, 0, 0), (20, 20, 80, 80))
        picture = Picture(centre, b"", "image/png", "")
        whole, augmented = (
            predictor.predict([picture], model, augment=each)[0] for each in (False, True)
        )
        assert len(custom_vision.received) == 1 + 3
        assert augmented["dark"] > whole["dark"], "black is in the middle"

    def test_any_picture_is_sent_as_azure_takes_it(self, custom_vision, predictor, model):
        noise = Image.fromarray(
            np.random.default_rng(1).integers(0, 255, (300, 12_000, 3), np.uint8)
        )
        assert predictor.predict([Picture(noise, b"", "image/webp", "")], model)

    def test_a_model_that_knows_other_categories_is_refused(self, predictor, model):
        with pytest.raises(PredictorError, match="other categories"):
            predictor.predict([picture_of("black")], ModelRef(model.reference, ("dark", "bright")))

    @pytest.mark.parametrize(
        "reference", ["", "project", "project/iteration", "project/iteration/"]
    )
    def test_a_reference_that_is_none_is_told(self, predictor, reference):
        with pytest.raises(PredictorError, match="does not say where"):
            predictor.warm_up(ModelRef(reference, CLASS_NAMES))

    def test_a_model_that_is_published_no_more_cannot_be_loaded(
        self, custom_vision, predictor, model
    ):
        (project,) = custom_vision.projects.values()
        next(iter(project.iterations.values())).publish_name = None
        with pytest.raises(PredictorError, match="no longer published"):
            predictor.warm_up(model)


class TestFaults:
    @pytest.mark.parametrize(
        "fault", [faults.too_many("0"), faults.server_error(), faults.unavailable(), faults.reset()]
    )
    def test_one_fault_is_not_noticed(self, custom_vision, predictor, model, pauses, fault):
        custom_vision.fail("classify_image_with_no_store", fault)
        assert predictor.predict([picture_of("black")], model)

    def test_a_busy_service_is_told_with_the_seconds_to_wait(
        self, custom_vision, predictor, model, pauses
    ):
        custom_vision.fail("classify_image_with_no_store", faults.too_many("42"))
        with pytest.raises(PredictorUnavailable, match=r"busy\. Try again in 42 s\.") as caught:
            predictor.predict([picture_of("black")], model)
        assert caught.value.retry_after_seconds == 42

    @pytest.mark.parametrize("fault", [faults.wrong_key(), faults.out_of_calls()])
    def test_users_are_not_told_more_than_they_need(
        self, custom_vision, predictor, model, caplog, fault
    ):
        custom_vision.fail("classify_image_with_no_store", fault)
        with pytest.raises(PredictorUnavailable, match="A maintainer has to check"):
            predictor.predict([picture_of("black")], model)
        assert "Check the" in caplog.text
        assert len(custom_vision.received) == 1

    def test_a_wrong_key_of_our_own_is_told(self, custom_vision, model):
        predictor = CustomVisionPredictor(alias="azure", **options_of(custom_vision, key="wrong"))
        with pytest.raises(PredictorUnavailable, match="denies access"):
            predictor.warm_up(model)

    def test_a_predictor_that_is_not_set_up_asks_nobody(self, model):
        with pytest.raises(PredictorUnavailable, match="not set up"):
            CustomVisionPredictor(alias="azure").predict([picture_of("black")], model)

    def test_after_failures_in_a_row_nobody_waits_any_more(
        self, custom_vision, predictor, model, pauses
    ):
        custom_vision.fail("classify_image_with_no_store", faults.server_error(), always=True)
        with pytest.raises(PredictorUnavailable):
            predictor.predict([picture_of("black")], model)
        asked = len(custom_vision.received)
        with pytest.raises(PredictorUnavailable, match="Try again in 15 s"):
            predictor.predict([picture_of("black")], model)
        assert asked == len(custom_vision.received) == 5


class TestConfiguration:
    @pytest.mark.parametrize(
        ("options", "id_"),
        [
            ({"endpoint": "https://a.example"}, "predictions.E021"),
            ({"key": "k"}, "predictions.E021"),
            ({"tier": "S1"}, "predictions.E022"),
            ({"endpoint": "http://a.example", "key": "k"}, "predictions.E023"),
            ({"endpoint": "a.example", "key": "k"}, "predictions.E023"),
        ],
    )
    def test_what_is_wrong_is_told(self, options, id_):
        (message,) = CustomVisionPredictor(alias="azure", **options).check()
        assert message.id == id_

    def test_who_does_not_use_it_sets_nothing(self):
        predictor = CustomVisionPredictor(alias="azure")
        assert predictor.check() == []
        assert predictor.missing_settings() == [
            "AZURE_CUSTOM_VISION_PREDICTION_ENDPOINT",
            "AZURE_CUSTOM_VISION_PREDICTION_KEY",
        ]


@pytest.mark.django_db
class TestDoors:
    def signed_in(self) -> Client:
        client = Client()
        client.force_login(make_user())
        return client

    def test_a_page_and_a_program_say_when_again(self, azure, custom_vision):
        custom_vision.fail("classify_image_with_no_store", faults.too_many("42"), always=True)
        page = self.signed_in().post("/projects/plates/classify/", {"file": make_upload()})
        assert (page.status_code, page["Retry-After"]) == (503, "42")
        assert "Azure Custom Vision is busy. Try again in 42 s." in page.content.decode()
        predictors["azure"].client.breaker.worked()
        headers = {"Authorization": f"Token {make_token(make_user())}"}
        answer = Client().post(
            "/api/v1/projects/plates/predict", {"file": make_upload()}, headers=headers
        )
        assert (answer.status_code, answer["Retry-After"]) == (503, "42")
        assert answer.json()["code"] == "predictor_unavailable"
        assert not Prediction.objects.exists()

    def test_nothing_falls_back_unless_it_is_set(self, azure, custom_vision):
        custom_vision.fail("classify_image_with_no_store", faults.wrong_key())
        with pytest.raises(PredictorUnavailable):
            classification.classify_upload(azure.project, make_upload(), by=make_user())

    def test_a_local_model_stands_in_and_everybody_sees_it(self, azure, custom_vision, settings):
        settings.FALL_BACK_TO = {"azure": "dummy"}
        custom_vision.fail("classify_image_with_no_store", faults.wrong_key(), always=True)
        client = self.signed_in()
        page = client.post(
            "/projects/plates/classify/", {"file": make_upload()}, follow=True
        ).content.decode()
        assert "Answered by the local model v1, since Azure did not answer." in page
        prediction = Prediction.objects.get()
        assert (prediction.model_version.number, prediction.stood_in_for) == (1, azure)
        assert (
            "local model v1, since Azure did not answer"
            in client.get("/predictions/").content.decode()
        )
        headers = {"Authorization": f"Token {make_token(prediction.user)}"}
        (row,) = Client().get("/api/v1/predictions/", headers=headers).json()["results"]
        assert (row["model_version"], row["stood_in_for"]) == (1, 2)

    def test_an_answer_of_azure_is_not_marked(self, azure):
        prediction = classification.classify_upload(azure.project, make_upload(), by=make_user())
        assert (prediction.model_version, prediction.stood_in_for) == (azure, None)

    def test_the_one_promoted_last_stands_in(self, azure, settings):
        settings.FALL_BACK_TO = {"azure": "dummy"}
        blocked = make_model_version(azure.project, CLASS_NAMES)
        assert blocked.number == 3
        assert registry.fallback_version(azure).number == 1

    def test_a_project_without_a_local_model_says_so_as_before(
        self, azure, custom_vision, settings
    ):
        settings.FALL_BACK_TO = {"azure": "keras"}
        custom_vision.fail("classify_image_with_no_store", faults.too_many("42"))
        with pytest.raises(PredictorUnavailable, match="42 s"):
            classification.classify_upload(azure.project, make_upload(), by=make_user())

    def test_a_stand_in_that_fails_too_leaves_the_first_sentence(
        self, azure, custom_vision, settings
    ):
        settings.FALL_BACK_TO = {"azure": "keras"}
        make_model_version(azure.project, CLASS_NAMES, predictor="keras", reference="gone")
        custom_vision.fail("classify_image_with_no_store", faults.too_many("42"))
        with pytest.raises(PredictorUnavailable, match="42 s"):
            classification.classify_upload(azure.project, make_upload(), by=make_user())

    def test_a_batch_asks_about_each_picture_once_however_often_azure_fails(
        self, azure, custom_vision, pauses
    ):
        tasks.autodiscover()
        batch = batches.create_batch(
            azure.project, [make_upload() for _ in range(4)], by=make_user()
        )
        custom_vision.fail(
            "classify_image_with_no_store", faults.slow(0.01), *[faults.too_many("60")] * 3
        )
        for _turn in range(5):
            Job.objects.update(due_at=timezone.now())
            jobs.run_due_jobs()
        assert batch_answers.batch_progress(batch).done == 4
        times = custom_vision.times_taken(["classify_image_with_no_store"])
        assert sorted(times.values()) == [1, 1, 1, 1]


@pytest.mark.django_db
def test_the_key_is_nowhere(azure, custom_vision, caplog, pauses):
    caplog.set_level(logging.DEBUG)
    key, texts = custom_vision.prediction_key, []
    client = Client()
    client.force_login(make_user())
    every = [
        faults.wrong_key(),
        faults.out_of_calls(),
        faults.quota_reached(),
        faults.server_error(),
        faults.reset(),
    ]
    told = faults.Fault(400, {"code": "BadRequest", "message": f"{key} is not welcome."})
    for fault in [*every, faults.too_many("60"), told]:
        custom_vision.fail("classify_image_with_no_store", fault, always=True)
        predictors["azure"].client.breaker.worked()
        response = client.post("/projects/plates/classify/", {"file": make_upload()})
        texts += [response.content.decode(), str(response.headers)]
        predictors["azure"].client.breaker.worked()
        try:
            classification.classify_upload(azure.project, make_upload(), by=make_user())
        except DomainError as error:
            texts += [repr(error), *traceback.format_exception(error), repr(vars(error))]
    texts += [repr(vars(predictors["azure"])), repr(predictors["azure"].check()), caplog.text]
    texts += [repr(row) for row in Prediction.objects.values()] + [
        repr(row) for row in Job.objects.values()
    ]
    assert "is not welcome" in "".join(texts)
    assert key not in "".join(texts)

from unittest.mock import Mock

import pytest
from django.core.files.storage import storages
from PIL import Image

from accounts.models import User
from common.media.images import Picture
from predictions import classification, registry
from predictions.models import Prediction, Project, Sample
from predictions.predictors.base import PredictorError, PredictorUnavailable, predictors
from predictions.predictors.dummy import DummyPredictor
from predictions.predictors.local.engine import LiteRtEngine
from predictions.tests import tiny_model
from predictions.tests.factories import (
    make_live_model,
    make_picture_bytes,
    make_project,
    make_sample,
    make_upload,
    make_user,
)

pytestmark = pytest.mark.django_db


def picture_of(colour: str) -> Picture:
    return Picture(
        image=Image.new("RGB", (8, 8), colour), data=b"", media_type="image/jpeg", sha256=""
    )


def classify(project: Project, *questions: classification.Question, by: User) -> list[Prediction]:
    """Ask the live model about stored pictures and write the answer down, as a batch does."""
    answer = classification.predict_with(
        project, [picture for _sample, picture, _name in questions]
    )
    return classification.record_predictions(project, questions, answer, by=by)


def test_all_scores_and_the_time_are_written_down():
    version = make_live_model(class_names=["dark", "light"])
    user = make_user()
    (prediction,) = classify(
        version.project, (make_sample(version.project), picture_of("black"), "night.jpg"), by=user
    )
    stored = Prediction.objects.get(pk=prediction.pk)
    assert [name for name, _score in stored.ranked] == ["dark", "light"]
    assert stored.confidence == stored.scores["dark"]
    assert (stored.top.name, stored.model_version, stored.user) == ("dark", version, user)
    assert stored.latency_ms >= 0
    assert stored.shown_name == "night.jpg"
    assert not stored.abstained


def test_many_pictures_are_asked_about_at_once(django_assert_num_queries):
    version = make_live_model(class_names=["dark", "light"])
    questions = [
        (make_sample(version.project), picture_of(colour), "")
        for colour in ("white", "black", "white")
    ]
    user = make_user()
    with django_assert_num_queries(
        2 + len(questions)
    ):  # which model, which categories, and the rows
        predictions = classify(version.project, *questions, by=user)
    assert [prediction.top.name for prediction in predictions] == ["light", "dark", "light"]


def test_a_project_can_have_the_model_abstain():
    version = make_live_model(make_project(abstain_below=0.99))
    sample = make_sample(version.project)
    assert classify(version.project, (sample, picture_of("black"), ""), by=make_user())[0].abstained


def test_test_time_augmentation_is_asked_for_when_the_project_wants_it(monkeypatch):
    asked = []

    def predict(self, pictures, model, *, augment=False):
        asked.append(augment)
        return [{name: 1 / len(model.class_names) for name in model.class_names} for _ in pictures]

    monkeypatch.setattr(DummyPredictor, "predict", predict)
    for wanted in (True, False):
        version = make_live_model(make_project(test_time_augmentation=wanted))
        classify(
            version.project, (make_sample(version.project), picture_of("red"), ""), by=make_user()
        )
    assert asked == [True, False]


def test_the_next_picture_is_answered_by_the_model_promoted_meanwhile():
    first = make_live_model()
    user = make_user()
    classification.classify_upload(first.project, make_upload(), by=user)
    second = make_live_model(first.project)
    assert (
        classification.classify_upload(first.project, make_upload(), by=user).model_version
        == second
    )


def test_without_a_model_nothing_is_kept():
    project = make_project()
    with pytest.raises(registry.NoLiveModel):
        classification.classify_upload(project, make_upload(), by=make_user())
    assert not Sample.objects.exists()


def test_a_model_that_fails_leaves_nothing_behind(monkeypatch):
    def fail(*args, **kwargs):
        raise PredictorUnavailable("not now")

    project = make_live_model().project
    monkeypatch.setattr(DummyPredictor, "predict", fail)
    with pytest.raises(PredictorUnavailable):
        classification.classify_upload(project, make_upload(), by=make_user())
    assert not Sample.objects.exists()
    assert not storages["uploads"].exists(project.slug)


def test_without_the_answer_s_row_neither_sample_nor_picture_is_kept(monkeypatch):
    project = make_live_model().project
    monkeypatch.setattr(classification, "record_predictions", lambda *args, **kwargs: {}["gone"])
    with pytest.raises(KeyError):
        classification.classify_upload(project, make_upload(), by=make_user())
    assert not Sample.objects.exists()
    assert storages["uploads"].listdir(project.slug)[1] == []


@pytest.mark.django_db(transaction=True)
def test_a_category_that_is_removed_while_the_model_looks_is_no_answer_s_category(monkeypatch):
    version = make_live_model(class_names=["dark", "light"])
    ask = classification.predict_live

    def ask_and_remove(*args, **kwargs):
        answer = ask(*args, **kwargs)
        version.project.categories.filter(name="dark").delete()
        return answer

    monkeypatch.setattr(classification, "predict_live", ask_and_remove)
    prediction = classification.classify_upload(
        version.project, make_upload(colour="black"), by=make_user()
    )
    prediction.refresh_from_db()
    assert (prediction.top, prediction.ranked[0][0]) == (None, "dark")
    assert Sample.objects.get().read()


def test_augmentation_decodes_a_picture_once_and_asks_the_model_once(monkeypatch):
    model = tiny_model.write_tiny_bundle()
    project = make_project(test_time_augmentation=True)
    version = make_live_model(
        project,
        tiny_model.CLASS_NAMES,
        predictor="keras",
        reference=model.reference,
        digest=model.digest,
    )
    classification.predict_with(project, [picture_of("red")])  # loaded by now
    engine = predictors["keras"]._models[registry.model_ref(version)].engine
    getdecoder, run = Mock(wraps=Image._getdecoder), Mock(wraps=engine.run)
    monkeypatch.setattr(Image, "_getdecoder", getdecoder)
    monkeypatch.setattr(LiteRtEngine, "run", run)
    photo = make_upload(make_picture_bytes("red", size=(640, 480)))
    prediction = classification.classify_upload(project, photo, by=make_user())
    assert (prediction.model_version, prediction.top.name) == (version, "red")
    (asked,) = run.call_args_list
    assert asked.args[0].shape == (3, 16, 16, 3)
    (decoding,) = getdecoder.call_args_list
    # Of 480 pixels 60 are left, and the smallest of the three crops needs 50
    assert decoding.args[3][0] == 8


def test_a_model_of_an_unknown_predictor_is_explained():
    version = make_live_model(predictor="gone")
    with pytest.raises(PredictorError, match="gone"):
        classification.predict_with(version.project, [picture_of("red")])


@pytest.mark.parametrize(
    "scores", [{"dark": 0.5}, {"dark": float("nan"), "light": 0.5}, {"dark": 2.0, "light": 0.0}]
)
def test_an_answer_that_makes_no_sense_is_refused(monkeypatch, scores):
    version = make_live_model(class_names=["dark", "light"])
    monkeypatch.setattr(
        DummyPredictor, "predict", lambda self, pictures, model, *, augment=False: [scores]
    )
    with pytest.raises(PredictorError):
        classification.predict_with(version.project, [picture_of("red")])


def test_a_renamed_category_answers_by_its_new_name():
    version = make_live_model(class_names=["dark", "light"])
    ids = [str(version.project.categories.get(name=name).uuid) for name in version.class_names]
    version.manifest = {"category_uuids": ids}
    version.save(update_fields=["manifest"])
    version.project.categories.filter(name="dark").update(name="night")
    sample = make_sample(version.project)
    assert (
        classify(version.project, (sample, picture_of("black"), ""), by=make_user())[0].top.name
        == "night"
    )

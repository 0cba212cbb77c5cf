import pytest
from PIL import Image

from classifr.common.media.images import Picture
from predictions import classification, registry
from predictions.models import Prediction, Sample
from predictions.predictors.base import PredictorError
from predictions.predictors.dummy import DummyPredictor
from predictions.tests.factories import (
    make_live_model,
    make_project,
    make_sample,
    make_upload,
    make_user,
)

pytestmark = pytest.mark.django_db


def picture_of(colour: str) -> Picture:
    return Picture(image=Image.new("RGB", (8, 8), colour), data=b"", media_type="image/jpeg", sha256="")


def test_all_scores_and_the_time_are_written_down():
    version = make_live_model(class_names=["dark", "light"])
    user = make_user()
    prediction = classification.classify(
        version.project, make_sample(version.project), picture_of("black"), by=user, shown_name="night.jpg"
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
    questions = [(make_sample(version.project), picture_of(colour), "") for colour in ("white", "black", "white")]
    user = make_user()
    with django_assert_num_queries(5):  # which model, which categories, and one transaction
        predictions = classification.classify_many(version.project, questions, by=user)
    assert [prediction.top.name for prediction in predictions] == ["light", "dark", "light"]


def test_a_project_can_have_the_model_abstain():
    version = make_live_model(make_project(abstain_below=0.99))
    sample = make_sample(version.project)
    assert classification.classify(version.project, sample, picture_of("black"), by=make_user()).abstained


def test_test_time_augmentation_is_asked_for_when_the_project_wants_it(monkeypatch):
    asked = []

    def predict(self, pictures, model, *, augment=False):
        asked.append(augment)
        return [{name: 1 / len(model.class_names) for name in model.class_names} for _ in pictures]

    monkeypatch.setattr(DummyPredictor, "predict", predict)
    for wanted in (True, False):
        version = make_live_model(make_project(test_time_augmentation=wanted))
        classification.classify(version.project, make_sample(version.project), picture_of("red"), by=make_user())
    assert asked == [True, False]


def test_the_next_picture_is_answered_by_the_model_promoted_meanwhile():
    first = make_live_model()
    user = make_user()
    classification.classify_upload(first.project, make_upload(), by=user)
    second = make_live_model(first.project)
    assert classification.classify_upload(first.project, make_upload(), by=user).model_version == second


def test_without_a_model_nothing_is_kept():
    project = make_project()
    with pytest.raises(registry.NoLiveModel):
        classification.classify_upload(project, make_upload(), by=make_user())
    assert not Sample.objects.exists()


def test_a_model_of_an_unknown_predictor_is_explained():
    version = make_live_model(predictor="gone")
    with pytest.raises(PredictorError, match="gone"):
        classification.ask(version.project, [picture_of("red")])


@pytest.mark.parametrize("scores", [{"dark": 0.5}, {"dark": float("nan"), "light": 0.5}, {"dark": 2.0, "light": 0.0}])
def test_an_answer_that_makes_no_sense_is_refused(monkeypatch, scores):
    version = make_live_model(class_names=["dark", "light"])
    monkeypatch.setattr(DummyPredictor, "predict", lambda self, pictures, model, *, augment=False: [scores])
    with pytest.raises(PredictorError):
        classification.ask(version.project, [picture_of("red")])


def test_a_renamed_category_answers_by_its_new_name():
    version = make_live_model(class_names=["dark", "light"])
    ids = [str(version.project.categories.get(name=name).uuid) for name in version.class_names]
    version.manifest = {"category_uuids": ids}
    version.save(update_fields=["manifest"])
    version.project.categories.filter(name="dark").update(name="night")
    sample = make_sample(version.project)
    assert classification.classify(version.project, sample, picture_of("black"), by=make_user()).top.name == "night"

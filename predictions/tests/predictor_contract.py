"""What every predictor promises, as tests for the test class of each one to inherit."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from common.errors import DomainError
from common.media.images import Picture
from predictions.predictors.base import (
    BasePredictor,
    ModelRef,
    PredictorError,
    PredictorUnavailable,
)


def picture_of(colour: str | tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> Picture:
    """Return a picture that passed the door, of one colour."""
    image = Image.new("RGB", size, colour)
    return Picture(image=image, data=image.tobytes(), media_type="image/png", sha256="0" * 64)


class PredictorContract:
    """Inherit, and define the fixtures `predictor`, `model` and perhaps `broken_model`."""

    pictures: tuple[Picture, ...] = (
        picture_of("red"),
        picture_of((20, 200, 30), (31, 47)),
        picture_of("blue", (1, 1)),
        picture_of("white", (400, 3)),
    )

    @pytest.fixture
    def broken_model(self) -> ModelRef | None:
        return None

    def test_gives_every_picture_a_probability_for_every_category(
        self, predictor: BasePredictor, model: ModelRef
    ):
        answers = predictor.predict(self.pictures, model)
        assert len(answers) == len(self.pictures)
        for scores in answers:
            assert tuple(scores) == model.class_names
            assert all(type(value) is float and 0 <= value <= 1 for value in scores.values())

    def test_probabilities_sum_to_one(self, predictor: BasePredictor, model: ModelRef):
        for scores in predictor.predict(self.pictures, model):
            assert sum(scores.values()) == pytest.approx(1, abs=1e-4)

    def test_an_empty_batch_gives_no_answers(self, predictor: BasePredictor, model: ModelRef):
        assert predictor.predict([], model) == []
        assert predictor.predict([], model, augment=True) == []

    def test_a_picture_gets_the_same_answer_alone_and_in_a_batch(
        self, predictor: BasePredictor, model: ModelRef
    ):
        together = predictor.predict(self.pictures, model)
        alone = [predictor.predict([picture], model)[0] for picture in self.pictures]
        for one, other in zip(together, alone, strict=True):
            assert one == pytest.approx(other, abs=1e-5)

    def test_augmentation_gives_probabilities_too(self, predictor: BasePredictor, model: ModelRef):
        answers = predictor.predict(self.pictures, model, augment=True)
        assert len(answers) == len(self.pictures)
        for scores in answers:
            assert tuple(scores) == model.class_names
            assert sum(scores.values()) == pytest.approx(1, abs=1e-4)

    def test_many_threads_get_the_same_answers_as_one(
        self, predictor: BasePredictor, model: ModelRef
    ):
        alone = [predictor.predict([picture], model)[0] for picture in self.pictures]
        with ThreadPoolExecutor(8) as pool:
            asked = [
                pool.submit(predictor.predict, [picture], model) for picture in self.pictures * 10
            ]
            for place, answer in enumerate(asked):
                assert answer.result()[0] == pytest.approx(alone[place % len(alone)], abs=1e-5)

    def test_loading_early_changes_no_answer(self, predictor: BasePredictor, model: ModelRef):
        predictor.warm_up(model)
        predictor.warm_up(model)
        assert predictor.predict(self.pictures[:1], model)

    def test_its_configuration_is_checked(self, predictor: BasePredictor):
        assert predictor.check() == []

    def test_a_broken_model_is_told_in_a_sentence(
        self, predictor: BasePredictor, broken_model: ModelRef | None
    ):
        if broken_model is None:
            pytest.skip("this predictor has no model that could be broken")
        with pytest.raises((PredictorError, PredictorUnavailable)) as caught:
            predictor.predict(self.pictures[:1], broken_model)
        assert isinstance(caught.value, DomainError)
        assert caught.value.status == 503
        assert str(caught.value).endswith(".")

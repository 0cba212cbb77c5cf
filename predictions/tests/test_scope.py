"""Pictures that look like nothing that the model has learned."""

import io

import numpy as np
import pytest

from predictions import classification
from predictions.predictors.base import PictureScores
from predictions.predictors.dummy import DummyPredictor
from predictions.predictors.local import bundles
from predictions.predictors.local.ood_detector import (
    REJECTION_LEVEL,
    OutOfDistributionDetector,
    unit_rows,
)
from predictions.predictors.local.predictor import LocalPredictor
from predictions.tests import tiny_model
from predictions.tests.factories import make_live_model, make_project, make_sample, make_user
from predictions.tests.predictor_contract import picture_of


def make_scope(*colours: tuple[float, float, float]) -> OutOfDistributionDetector:
    """Return a scope that learned these mean colours, and has seen others like them."""
    rng = np.random.default_rng(0)
    learned, held_out = (
        np.repeat(colours, 30, axis=0) + rng.normal(0, 0.05, (30 * len(colours), 3)) for _ in "ab"
    )
    scope = OutOfDistributionDetector(unit_rows(learned), np.empty(0, np.float32))
    return OutOfDistributionDetector(scope.learned, np.sort(scope.similarity(held_out)))


class TestScope:
    def test_what_is_like_the_learned_is_familiar_and_the_rest_is_not(self):
        scope = make_scope((1, 0, 0), (0, 1, 0))
        red, green, blue = scope.p_values(np.eye(3) * 0.5)
        assert min(red, green) > 0.3
        assert blue == 1 / 61 < REJECTION_LEVEL

    def test_of_pictures_like_the_held_out_ones_few_are_far(self):
        scope = make_scope((1, 0, 0), (0, 1, 0))
        others = np.repeat([[1, 0, 0]], 400, axis=0) + np.random.default_rng(1).normal(
            0, 0.05, (400, 3)
        )
        assert (scope.p_values(others) <= REJECTION_LEVEL).mean() < 0.12

    def test_the_similarity_is_that_of_the_third_nearest(self):
        angles = np.linspace(0, 1, 12)
        scope = OutOfDistributionDetector(
            unit_rows(np.stack([np.cos(angles), np.sin(angles)], axis=1)), np.empty(0)
        )
        assert scope.similarity(np.array([[7.0, 0.0]])) == pytest.approx(
            np.cos(angles[2]), abs=1e-6
        )

    def test_with_fewer_learned_the_farthest_counts(self):
        scope = OutOfDistributionDetector(unit_rows(np.eye(3)), np.zeros(1))
        assert scope.similarity(np.array([[1.0, 0, 0]])).tolist() == [0.0]

    def test_one_of_a_version_before_answers_as_it_did(self, tmp_path):
        rng = np.random.default_rng(3)
        learned, asked = unit_rows(rng.random((40, 6))), rng.random((9, 6))
        cosines = np.sort(unit_rows(asked) @ learned.astype(np.float16).T.astype(np.float32))
        references = np.sort(rng.uniform(0.8, 1, 30).astype(np.float32))
        np.savez(
            tmp_path / "scope.npz",
            learned=learned.astype(np.float16),
            references=references,
            neighbours=np.int64(10),
        )
        expected = (np.searchsorted(references, cosines[:, -10], side="right") + 1) / 31
        read = OutOfDistributionDetector.from_file(tmp_path / "scope.npz")
        assert read.p_values(asked).tolist() == expected.tolist()
        with np.load(tmp_path / "scope.npz") as before:
            written = np.load(io.BytesIO(read.to_bytes()))
            assert set(written) == set(before)

    def test_a_vector_of_zeros_breaks_nothing(self):
        assert make_scope((1, 0, 0)).p_values(np.zeros((1, 3)))[0] <= REJECTION_LEVEL

    def test_survives_being_stored(self, tmp_path):
        scope = make_scope((1, 0, 0))
        (tmp_path / "scope.npz").write_bytes(scope.to_bytes())
        read = OutOfDistributionDetector.from_file(tmp_path / "scope.npz")
        assert read.learned == pytest.approx(scope.learned, abs=1e-3)
        assert (read.references == scope.references).all()
        assert (
            read.to_bytes()
            == OutOfDistributionDetector.from_file(tmp_path / "scope.npz").to_bytes()
        )


EARLY_AND_LATE = (((0, 2), (4, 5)), ((2, 4),))


def make_layers(seed: int, count: int) -> np.ndarray:
    """Return vectors of an early layer of large numbers, a late one of small ones, and another."""
    usual = np.array([100.0, 100, 0.01, 0, 5])
    spread = np.array([15, 15, 0.002, 0.002, 1])
    return np.random.default_rng(seed).normal(usual, spread, (count, 5))


class TestParts:
    @pytest.fixture
    def scope(self):
        train = make_layers(0, 80), np.repeat([0, 1], 40)
        scope = OutOfDistributionDetector.fit(
            train, make_layers(1, 20), parts=EARLY_AND_LATE, leave_one_out=True
        )
        assert scope
        return scope

    def test_what_differs_in_one_part_alone_is_told(self, scope):
        early, late = make_layers(2, 2)
        early[0], late[3] = 0, 0.01
        assert scope.p_values(np.stack([early, late])).max() <= REJECTION_LEVEL
        whole = OutOfDistributionDetector.fit(
            (make_layers(0, 80), np.repeat([0, 1], 40)), make_layers(1, 20), leave_one_out=True
        )
        assert whole and whole.p_values(late[None])[0] > REJECTION_LEVEL

    def test_few_of_those_like_the_learned_are_far(self, scope):
        assert (scope.p_values(make_layers(3, 400)) <= REJECTION_LEVEL).mean() < 0.1

    def test_one_picture_is_judged_as_among_many(self, scope):
        asked = make_layers(4, 30)
        alone = [scope.similarity(each[None])[0] for each in asked]
        assert alone == pytest.approx(scope.similarity(asked), abs=1e-3)

    def test_they_survive_being_stored(self, scope, tmp_path):
        (tmp_path / "scope.npz").write_bytes(scope.to_bytes())
        read = OutOfDistributionDetector.from_file(tmp_path / "scope.npz")
        assert read.parts == EARLY_AND_LATE
        assert (read.p_values(make_layers(5, 9)) == scope.p_values(make_layers(5, 9))).all()


class TestReferences:
    def test_with_each_left_out_a_few_pictures_say_what_is_usual(self):
        train, none = (np.eye(20), np.repeat([0, 1], 10)), np.empty((0, 20))
        assert OutOfDistributionDetector.fit(train, none) is None
        scope = OutOfDistributionDetector.fit(train, none, leave_one_out=True)
        # All are at right angles: none was taken for its own neighbour
        assert scope and scope.references.tolist() == [0.0] * 20

    def test_too_few_of_them_say_nothing(self):
        train = make_layers(0, 18), np.repeat([0, 1], 9)
        assert OutOfDistributionDetector.fit(train, make_layers(1, 0), leave_one_out=True) is None


class TestServing:
    @pytest.fixture(autouse=True)
    def models_of_this_test(self, settings, tmp_path):
        disk = {
            "BACKEND": "common.storages.DiskStorage",
            "OPTIONS": {"location": str(tmp_path / "models")},
        }
        settings.DATA_DIR, settings.STORAGES = tmp_path, settings.STORAGES | {"models": disk}

    def test_the_predictor_says_how_familiar_a_picture_looks(self):
        model = tiny_model.write_tiny_bundle(scope=make_scope((1, 0, 0), (0, 1, 0)))
        red, blue = LocalPredictor(alias="keras").predict_scored(
            [picture_of("red"), picture_of("blue")], model
        )
        assert red.familiarity and red.familiarity > 0.3 and not red.is_unfamiliar
        assert blue.scores["blue"] > 0.99 and blue.is_unfamiliar

    def test_with_augmentation_the_whole_picture_is_judged(self):
        model = tiny_model.write_tiny_bundle(scope=make_scope((1, 0, 0)))
        framed = picture_of("red", (100, 100))
        framed.image.paste((0, 0, 255), (15, 15, 85, 85))
        predictor = LocalPredictor(alias="keras")
        (whole,), (augmented,) = (
            predictor.predict_scored([framed], model, augment=augment) for augment in (False, True)
        )
        assert augmented.scores != whole.scores
        assert augmented.familiarity == whole.familiarity

    def test_a_bundle_without_it_answers_as_ever(self):
        (answer,) = LocalPredictor(alias="keras").predict_scored(
            [picture_of("red")], tiny_model.write_tiny_bundle()
        )
        assert answer.scores["red"] > 0.99
        assert (answer.familiarity, answer.is_unfamiliar) == (None, False)

    def test_one_that_does_not_fit_the_model_is_refused(self):
        model = tiny_model.write_tiny_bundle(
            scope=OutOfDistributionDetector(np.ones((5, 4), np.float32), np.ones(20))
        )
        with pytest.raises(bundles.PredictorError, match="cannot be run"):
            LocalPredictor(alias="keras").warm_up(model)


@pytest.mark.django_db
class TestAnswering:
    @pytest.fixture
    def unfamiliar(self, monkeypatch):
        def predict_scored(self, pictures, model, *, augment=False):
            return [PictureScores(scores, 0.01, True) for scores in self.predict(pictures, model)]

        monkeypatch.setattr(DummyPredictor, "predict_scored", predict_scored)

    def ask(self, **options):
        version = make_live_model(make_project(**options))
        question = (make_sample(version.project), picture_of("black"), "")
        answer = classification.predict_with(version.project, [question[1]])
        return classification.record_predictions(
            version.project, [question], answer, by=make_user()
        )[0]

    def test_the_model_abstains_and_says_why(self, unfamiliar, client):
        prediction = self.ask()
        assert (prediction.abstained, prediction.is_unfamiliar, prediction.familiarity) == (
            True,
            True,
            0.01,
        )
        client.force_login(prediction.user)
        page = client.get(prediction.get_absolute_url()).content.decode()
        assert "does not look like anything in the training data" in page
        assert "none of its answers is probable enough" not in page
        assert "unfamiliar" in client.get("/predictions/").content.decode()

    def test_a_project_may_want_an_answer_all_the_same(self, unfamiliar):
        prediction = self.ask(abstain_when_unfamiliar=False)
        assert (prediction.abstained, prediction.is_unfamiliar, prediction.familiarity) == (
            False,
            False,
            0.01,
        )

    def test_a_model_that_cannot_tell_leaves_it_open(self):
        prediction = self.ask()
        assert (prediction.abstained, prediction.is_unfamiliar, prediction.familiarity) == (
            False,
            False,
            None,
        )

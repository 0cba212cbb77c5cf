import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad

from common.media import images
from common.media.images import Picture
from common.progress import subrange
from predictions.predictors.base import predictors
from predictions.predictors.local import bundles, heads, ood_detector
from predictions.predictors.local.heads import Head
from predictions.predictors.local.ood_detector import OutOfDistributionDetector, unit_rows
from predictions.tests import tiny_model
from training import backbones
from training.backbones.base import Backbone
from training.errors import TrainingFailed
from training.features.cache import FeatureCache
from training.tests.trainer_contract import (
    CLASS_NAMES,
    TrainerContract,
    make_example,
    make_task,
    servable,
)
from training.trainers.base import trainers
from training.trainers.dummy import DummyTrainer
from training.trainers.local import bundling, head, losses
from training.trainers.local.trainer import LocalTrainer

seeds = st.integers(0, 2**31)


def make_blobs(
    seed: int, count: int, classes: int = 3, width: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """Return features and labels of overlapping clouds, every class at least once."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, count - classes)])
    centres = np.random.default_rng(99).normal(size=(classes, width)) * 2
    return (centres[labels] + rng.normal(size=(count, width))).astype(np.float32), labels


class TestHead:
    @given(seeds, st.integers(2, 5), st.floats(0, 1))
    @settings(max_examples=20, deadline=None)
    def test_the_gradient_is_that_of_the_loss(self, seed, classes, l2):
        features, labels = make_blobs(seed, 12, classes)
        rng = np.random.default_rng(seed)
        arguments = (
            features.astype(np.float64),
            labels,
            rng.uniform(0.5, 2, len(labels)),
            classes,
            l2,
        )
        error = check_grad(
            lambda p: head.loss_and_gradient(p, *arguments)[0],
            lambda p: head.loss_and_gradient(p, *arguments)[1],
            rng.normal(size=6 * classes),
        )
        assert error < 1e-4

    @given(st.lists(st.integers(0, 4), min_size=1, max_size=50))
    def test_balanced_weights_make_classes_equal(self, labels):
        weights = head.balanced_weights(np.array(labels), 5)
        totals = [weights[np.array(labels) == label].sum() for label in set(labels)]
        assert weights.mean() == pytest.approx(1)
        assert totals == pytest.approx([totals[0]] * len(totals))

    @given(seeds)
    @settings(max_examples=10, deadline=None)
    def test_learning_twice_gives_the_same_numbers(self, seed):
        first, second = (
            head.fit_head(make_blobs(seed, 40), make_blobs(seed + 1, 20), 3) for _time in range(2)
        )
        assert first.head.to_bytes() == second.head.to_bytes()

    def test_learns_what_can_be_learned(self):
        learned = head.fit_head(make_blobs(1, 300), make_blobs(2, 90), 3)
        features, labels = make_blobs(3, 300)
        assert (learned.head.probabilities(features).argmax(axis=1) == labels).mean() > 0.9
        assert learned.losses == sorted(learned.losses, reverse=True)
        assert len(learned.validation_losses) == len(learned.losses)

    def test_the_strength_is_the_one_that_does_best_on_the_validation_split(self):
        learned = head.fit_head(make_blobs(1, 30), make_blobs(2, 90), 3)
        by_strength = {fit.l2: fit.validation_loss or 0.0 for fit in learned.fits}
        assert learned.l2 == min(by_strength, key=by_strength.__getitem__)
        assert len({fit.l2 for fit in learned.fits}) == len(learned.fits) > 2

    @pytest.mark.parametrize("count", [0, 3, 9])
    def test_with_few_validation_samples_nothing_is_chosen_and_nothing_breaks(self, count):
        features, labels = make_blobs(2, 12)
        learned = head.fit_head(make_blobs(1, 30), (features[:count], labels[:count]), 3)
        assert [fit.l2 for fit in learned.fits] == [head.L2_DEFAULT]
        assert np.isfinite(learned.head.kernel).all()
        assert 0.5 < learned.head.temperature < 2

    def test_a_category_that_validation_lacks_breaks_nothing(self):
        features, labels = make_blobs(2, 60)
        learned = head.fit_head(make_blobs(1, 60), (features[labels != 1], labels[labels != 1]), 3)
        assert np.isfinite(learned.head.probabilities(features)).all()

    def test_one_sample_per_category_is_enough_to_learn(self):
        learned = head.fit_head(make_blobs(1, 3), make_blobs(2, 3), 3)
        assert np.isfinite(learned.head.kernel).all()

    def test_features_that_never_vary_do_not_hurt(self):
        features, labels = make_blobs(1, 60)
        features[:, 1] = 5.0
        learned = head.fit_head((features, labels), make_blobs(2, 30), 3)
        assert np.isfinite(learned.head.kernel).all()

    def test_a_rare_category_is_not_forgotten(self):
        features, labels = make_blobs(1, 600)
        few = np.concatenate([np.flatnonzero(labels == 0)[:6], np.flatnonzero(labels != 0)])
        learned = head.fit_head((features[few], labels[few]), make_blobs(2, 90), 3)
        features, labels = make_blobs(3, 300)
        assert (learned.head.probabilities(features).argmax(axis=1) == labels)[
            labels == 0
        ].mean() > 0.8

    @given(seeds, st.floats(0.5, 4))
    @settings(max_examples=15, deadline=None)
    def test_the_temperature_makes_up_for_false_certainty(self, seed, factor):
        rng = np.random.default_rng(seed)
        logits = rng.normal(size=(4000, 3)) * 2
        truth = np.exp(heads.log_softmax(logits))
        labels = (truth.cumsum(axis=1) > rng.random((len(truth), 1))).argmax(axis=1)
        assert head.fit_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.15)

    def test_the_temperature_of_a_few_right_answers_stays_sane(self):
        logits = np.array([[9.0, 0.0], [0.0, 9.0]])
        assert head.fit_temperature(logits, np.array([0, 1])) > 0.5
        assert head.fit_temperature(np.empty((0, 2)), np.empty(0, int)) == 1.0

    def test_a_head_survives_being_stored(self, tmp_path):
        stored = head.fit_head(make_blobs(1, 60), make_blobs(2, 30), 3).head
        (tmp_path / "head.npz").write_bytes(stored.to_bytes())
        features, _labels = make_blobs(3, 9)
        read = Head.from_file(tmp_path / "head.npz")
        assert (read.probabilities(features) == stored.probabilities(features)).all()

    def test_huge_logits_overflow_nothing(self):
        kernel = np.array([[1e4, -1e4]], np.float32)
        assert Head(kernel, np.zeros(2, np.float32)).probabilities(np.ones((1, 1))).tolist() == [
            [1.0, 0.0]
        ]


def make_independent(
    seed: int, count: int, classes: int = 3, width: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """Return features and labels of shape (N, K): each class, shown or not, moves the features its
    own way.
    """
    rng = np.random.default_rng(seed)
    shown = rng.integers(0, 2, (count, classes))
    directions = np.random.default_rng(99).normal(size=(classes, width)) * 3
    return (shown @ directions + rng.normal(size=(count, width))).astype(np.float32), shown


class TestIndependentHead:
    """Where categories do not exclude each other."""

    @given(seeds, st.integers(1, 5), st.floats(0, 1))
    @settings(max_examples=20, deadline=None)
    def test_the_gradient_is_that_of_the_loss(self, seed, classes, l2):
        features, labels = make_independent(seed, 12, classes)
        arguments = (features.astype(np.float64), labels, np.ones(12), classes, l2)
        error = check_grad(
            lambda p: head.loss_and_gradient(p, *arguments)[0],
            lambda p: head.loss_and_gradient(p, *arguments)[1],
            np.random.default_rng(seed).normal(size=6 * classes),
        )
        assert error < 1e-4

    def test_every_category_is_found_by_itself(self):
        learned = head.fit_head(make_independent(1, 300), make_independent(2, 90), 3)
        features, shown = make_independent(3, 300)
        found = learned.head.probabilities(features)
        assert ((found >= 0.5) == shown).all(axis=1).mean() > 0.8
        assert found.sum(axis=1).max() > 1.5, "they do not add up to 1"

    def test_learning_twice_gives_the_same_numbers(self):
        first, second = (
            head.fit_head(make_independent(1, 60), make_independent(2, 30), 3) for _time in range(2)
        )
        assert first.head.to_bytes() == second.head.to_bytes()

    def test_its_probabilities_are_honest(self):
        learned = head.fit_head(make_independent(1, 600), make_independent(2, 300), 3)
        features, shown = make_independent(3, 3000)
        assert learned.head.probabilities(features).mean(axis=0) == pytest.approx(
            shown.mean(axis=0), abs=0.05
        )

    def test_the_temperature_makes_up_for_false_certainty(self):
        rng = np.random.default_rng(1)
        logits = rng.normal(size=(4000, 3)) * 2
        labels = (heads.sigmoid(logits) > rng.random(logits.shape)).astype(int)
        assert head.fit_temperature(logits * 2.5, labels) == pytest.approx(2.5, rel=0.15)

    def test_it_survives_being_stored(self, tmp_path):
        stored = head.fit_head(make_independent(1, 60), make_independent(2, 30), 3).head
        (tmp_path / "head.npz").write_bytes(stored.to_bytes())
        read = Head.from_file(tmp_path / "head.npz")
        assert read.activation == heads.SIGMOID and read.to_bytes() == stored.to_bytes()

    def test_huge_logits_overflow_nothing(self):
        with np.errstate(all="raise", under="ignore"):
            assert heads.sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
        assert losses.sample_losses(np.array([[1e4, -1e4]]), np.array([[1, 0]])).tolist() == [0.0]


class TestScope:
    def test_keeps_what_was_learned_from_and_how_near_others_come(self):
        learned = OutOfDistributionDetector.fit(make_blobs(1, 60), make_blobs(2, 30)[0])
        assert learned and (learned.learned.shape, learned.references.shape) == ((60, 5), (30,))
        assert (np.diff(learned.references) >= 0).all()
        assert np.linalg.norm(learned.learned, axis=1) == pytest.approx(1, abs=1e-3)

    def test_the_same_again_gives_the_same_bytes(self):
        first, again = (
            OutOfDistributionDetector.fit(make_blobs(1, 60), make_blobs(2, 30)[0])
            for _time in range(2)
        )
        assert first and again and first.to_bytes() == again.to_bytes()

    def test_too_few_held_out_samples_give_none(self):
        assert OutOfDistributionDetector.fit(make_blobs(1, 60), make_blobs(2, 18)[0]) is None

    def test_a_category_of_a_few_pictures_is_familiar_too(self):
        labels = np.repeat([0, 1, 2], [100, 100, 6])
        features = np.eye(3)[labels] + np.random.default_rng(0).normal(0, 0.05, (206, 3))
        learned = OutOfDistributionDetector.fit((features, labels), features[::6])
        assert learned and learned.neighbours == 3
        rare = np.array([[0.0, 0.0, 1.0]])
        assert (
            learned.similarity(rare)[0]
            > 0.95
            > 0.3
            > replace(learned, neighbours=10).similarity(rare)[0]
        )

    def test_of_very_many_samples_some_spread_evenly_stay(self, monkeypatch):
        monkeypatch.setattr(ood_detector, "MAX_LEARNED", 7)
        features, labels = make_blobs(1, 60)
        learned = OutOfDistributionDetector.fit((features, labels), make_blobs(2, 30)[0])
        assert learned and len(learned.learned) == 7
        assert learned.learned[[0, -1]] == pytest.approx(unit_rows(features[[0, -1]]), abs=1e-3)


class TestParity:
    class Model:
        """Stands for a Keras model: the compiled one's answers, shifted."""

        def __init__(self, engine, shift):
            self.engine, self.shift = engine, np.array(shift, np.float32)

        def predict_on_batch(self, pixels):
            return {"probabilities": self.engine.run(pixels)["probabilities"] + self.shift}

    @pytest.fixture
    def engine(self):
        from predictions.predictors.local.engine import LiteRtEngine

        return LiteRtEngine(tiny_model.FILE)

    def pictures(self):
        return [np.full((16, 16, 3), (200, 90, 20), np.uint8)] * 4

    def test_equal_models_agree(self, engine):
        result = bundling.check_parity(
            self.Model(engine, [0, 0, 0]), engine, self.pictures(), seed=0
        )
        assert (result.pictures, result.drawn, result.same_top1, result.max_difference) == (
            4,
            0,
            4,
            0.0,
        )

    def test_without_pictures_noise_is_compared_and_that_is_told(self, engine):
        result = bundling.check_parity(self.Model(engine, [0, 0, 0]), engine, [], seed=0)
        assert (result.pictures, result.drawn) == (0, bundling.PARITY_PICTURES)

    @pytest.mark.parametrize("shift", [[2e-4, 0, 0], [-2, 0, 0], [np.nan, 0, 0]])
    def test_models_that_differ_are_not_kept(self, engine, shift):
        with pytest.raises(TrainingFailed, match="does not answer as the trained one"):
            bundling.check_parity(self.Model(engine, shift), engine, self.pictures(), seed=0)

    def test_of_several_sure_categories_any_may_be_first(self, engine):
        """Two categories that are both certain may change places by rounding; one that is less
        likely may not.
        """

        class Sure:
            input_size = 16

            def run(self, pixels):
                return {
                    "probabilities": np.tile(
                        np.array([[0.99999, 1.0, 0.2]], np.float32), (len(pixels), 1)
                    )
                }

        swapped = self.Model(Sure(), [1e-5, -2e-5, 0])
        assert (
            bundling.check_parity(
                swapped, Sure(), self.pictures(), seed=0, exclusive=False
            ).same_top1
            == 4
        )
        with pytest.raises(TrainingFailed):
            bundling.check_parity(swapped, Sure(), self.pictures(), seed=0)
        with pytest.raises(TrainingFailed):
            bundling.check_parity(
                self.Model(Sure(), [0, 0, 0.9]), Sure(), self.pictures(), seed=0, exclusive=False
            )


class TestDummyTrainer(TrainerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def trainer(cls):
        return DummyTrainer(alias="dummy")


class TestKerasTrainerWithoutTensorFlow:
    """What needs no training: refusals and scores."""

    @pytest.fixture(autouse=True)
    def models_of_this_test(self, settings, tmp_path):
        disk = {
            "BACKEND": "common.storages.DiskStorage",
            "OPTIONS": {"location": str(tmp_path / "kept")},
        }
        settings.DATA_DIR, settings.STORAGES = tmp_path, settings.STORAGES | {"models": disk}

    @pytest.fixture
    def trainer(self):
        return LocalTrainer(alias="keras")

    def test_a_category_without_pictures_is_named(self, trainer):
        with pytest.raises(TrainingFailed, match="no picture to learn from: purple"):
            trainer.train(make_task(class_names=(*CLASS_NAMES, "purple")))

    def test_a_category_with_only_test_pictures_is_named(self, trainer):
        examples = [make_example(0, 1, "train"), make_example(1, 1, "test")]
        with pytest.raises(TrainingFailed, match="no picture to learn from: middle"):
            trainer.train(make_task(class_names=CLASS_NAMES[:2], examples=examples))

    def test_an_unknown_backbone_is_refused(self, trainer):
        with pytest.raises(TrainingFailed, match=r"no backbone “resnet-9000”.*lite0"):
            trainer.train(make_task(parameters={"backbone": "resnet-9000"}))

    def test_kept_vectors_are_scored_without_a_picture(self, trainer):
        model = tiny_model.write_tiny_bundle()
        blue, unseen = (
            make_example(0, 1, "test", kept=False),
            make_example(0, 2, "test", kept=False),
        )
        FeatureCache(tiny_model.BACKBONE_DIGEST).put([blue.sha256], np.array([[0.0, 0.0, 1.0]]))
        scores = trainer.predict_proba(model, [unseen, blue])
        assert np.isnan(scores[0]).all()
        assert scores[1].argmax() == 2

    def test_what_is_scored_once_is_not_looked_at_again(self, trainer):
        model = tiny_model.write_tiny_bundle()
        example = make_example(1, 1, "test")
        first = trainer.predict_proba(model, [example])
        assert (trainer.predict_proba(model, [replace(example, read=None)]) == first).all()

    def test_a_network_of_its_own_run_leaves_no_vectors_behind(self, trainer):
        backbone = {"name": "scratch", "digest": "5" * 32, "frozen": False, "features": 3}
        model = tiny_model.write_tiny_bundle(backbone=backbone)
        example = make_example(1, 1, "test")
        assert trainer.predict_proba(model, [example])[0].argmax() == 1
        assert FeatureCache("5" * 32).get([example.sha256]) == {}

    def test_its_threads_end_with_it(self, trainer):
        trainer.predict_proba(tiny_model.write_tiny_bundle(), [make_example(1, 1, "test")])
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


@pytest.mark.outer
class TestKerasTrainer(TrainerContract):
    """With a frozen backbone: a tiny one of random weights."""

    @pytest.fixture(scope="class")
    @classmethod
    def trainer(cls):
        def build():
            import keras

            keras.utils.set_random_seed(5)
            pixels = keras.layers.Input((32, 32, 3), name="pixels")
            x = keras.layers.Rescaling(1 / 127.5, -1.0, name="scaled")(pixels)
            x = keras.layers.Conv2D(16, 5, strides=4, activation="relu", name="conv")(x)
            return keras.Model(
                pixels, keras.layers.GlobalAveragePooling2D(name="features")(x), name="tiny"
            )

        backbones.FROZEN["tiny"] = lambda parameters: Backbone("tiny", "7" * 32, 32, 16, build)
        yield LocalTrainer(alias="keras")
        del backbones.FROZEN["tiny"]

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls):
        return make_task(35, parameters={"backbone": "tiny"})

    def test_the_bundle_holds_the_whole_story(self, trained, task):
        bundle = bundles.open_bundle(servable(trained))
        files = {bundles.KERAS_MODEL, bundles.COMPILED_MODEL, bundles.HEAD, bundles.SCOPE}
        assert set(bundle.paths) == files
        assert bundle.manifest["backbone"] == {
            "name": "tiny",
            "digest": "7" * 32,
            "frozen": True,
            "features": 16,
        }
        assert bundle.manifest["parity"]["max_difference"] <= bundling.TOLERANCE
        assert bundle.manifest["parity"]["pictures"] > 10
        assert bundle.manifest["data"]["splits"] == {"train": 63, "validation": 21}
        assert {"keras", "ai-edge-litert"} <= bundle.manifest["libraries"].keys()

    def test_keras_opens_its_model_in_safe_mode_and_answers_the_same(self, trained, task):
        import keras

        from predictions.predictors.local.engine import LiteRtEngine

        bundle = bundles.open_bundle(servable(trained))
        model = keras.models.load_model(bundle.paths[bundles.KERAS_MODEL], safe_mode=True)
        pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
        compiled = LiteRtEngine(bundle.paths[bundles.COMPILED_MODEL]).run(pixels)
        for name, values in model.predict_on_batch(pixels).items():
            assert np.asarray(values) == pytest.approx(compiled[name], abs=1e-4)

    def test_samples_without_picture_are_used_by_their_vectors_and_others_left_out(
        self, trainer, trained, task
    ):
        without = [replace(example, read=None) for example in task.examples]
        model = trainer.train(
            replace(task, examples=[*without, make_example(0, 500, "train", kept=False)])
        )
        assert any("1 sample was left out" in note for note in model.notes)
        assert model.manifest["parity"]["pictures"] == 0
        assert model.manifest["data"]["splits"] == {"train": 63, "validation": 21}

    def test_says_how_familiar_pictures_look(self, trainer, trained, task):
        test = [example for example in task.examples if example.split == "test"]
        familiar = trainer.ood_p_values(servable(trained), test)
        assert familiar.shape == (21,)
        assert familiar.mean() > 0.25
        pictures = [
            Picture(images.decode_stored(example.read()), b"", "image/png", example.sha256)
            for example in test
        ]
        served = [
            answer.familiarity
            for answer in predictors["keras"].predict_scored(pictures, servable(trained))
        ]
        assert np.abs(familiar - served).max() < 0.1

    def test_one_validation_picture_is_no_trouble(self, trainer, task):
        examples = [example for example in task.examples if example.split == "train"]
        model = trainer.train(
            replace(task, examples=[*examples, make_example(0, 600, "validation")])
        )
        assert any("Too few validation samples" in note for note in model.notes)
        # What it is usual to be like is said by those learned from, each compared with the others
        assert trainer.ood_p_values(servable(model), task.examples) is not None

    def test_with_too_few_pictures_the_unfamiliar_cannot_be_told(self, trainer, task):
        examples = [example for example in task.examples if example.split == "train"]
        few = [
            example
            for name in task.class_names
            for example in [each for each in examples if each.category == name][:6]
        ]
        model = trainer.train(replace(task, examples=few))
        assert any(
            "it needs 19 samples to compare with, and there are 18." in note for note in model.notes
        )
        assert trainer.ood_p_values(servable(model), task.examples) is None


@pytest.mark.outer
class TestKerasTrainerFromScratch(TrainerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def trainer(cls):
        return LocalTrainer(alias="keras")

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls):
        return make_task(15, parameters={"backbone": "scratch", "epochs": 5})

    def test_the_network_has_curves_of_its_own(self, trained):
        assert {"network_loss", "network_validation_loss"} <= trained.curves.keys()
        assert 1 <= len(trained.curves["network_loss"]) <= 5

    def test_pictures_that_were_not_kept_are_left_out_and_told(self, trainer, task):
        examples = [*task.examples, make_example(2, 700, "train", kept=False)]
        model = trainer.train(
            replace(task, examples=examples, parameters={"backbone": "scratch", "epochs": 1})
        )
        assert any("1 sample was left out" in note for note in model.notes)


class TestStages:
    def test_a_stage_is_a_part_of_the_whole(self):
        told = []
        part = subrange(lambda done, total, note="": told.append((done, total, note)), 20, 60)
        part(0, 4, "a")
        part(1, 4, "b")
        part(4, 4, "c")
        assert told == [(20, 100, "a"), (30, 100, "b"), (60, 100, "c")]

    def test_is_silent_while_nothing_changes(self):
        told = []
        part = subrange(lambda done, total, note="": told.append(done), 0, 10)
        for done in range(1001):
            part(done, 1000, "same")
        assert told == list(range(11))

    def test_an_empty_stage_is_no_trouble(self):
        subrange(lambda done, total, note="": None, 0, 10)(0, 0, "nothing to do")


def test_the_settings_name_both_trainers():
    assert isinstance(trainers["keras"], LocalTrainer)
    assert isinstance(trainers["dummy"], DummyTrainer)

"""The top of a backbone learns as well, where there are pictures, and only if that helps."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from common.errors import InvalidInput
from common.progress import Cancelled
from predictions.predictors.local import bundles
from training import backbones, plots
from training.backbones.base import Backbone
from training.errors import TrainingFailed
from training.features.cache import FeatureCache
from training.forms import StartRunForm
from training.runs import submission
from training.tests.factories import make_run, make_trainable
from training.tests.trainer_contract import (
    CLASS_NAMES,
    TrainerContract,
    make_example,
    make_task,
    servable,
)
from training.trainers.dummy import DummyTrainer
from training.trainers.local import augmentation, finetuning
from training.trainers.local.trainer import LocalTrainer

TINY_DIGEST = "f7" * 16  # no other test's: compiled backbones are kept by it


def build_tiny():
    """Three layers that can learn, of which the last one will, and a normalisation that stays as it
    is.

    The last layer sees edges only, so that a head can hardly tell the flat colours of the task
    apart.
    """
    import keras

    keras.utils.set_random_seed(5)
    x = source = keras.layers.Input((32, 32, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, -1.0, name="scaled")(x)
    x = keras.layers.Conv2D(8, 5, strides=4, activation="relu", name="first")(x)
    x = keras.layers.Conv2D(8, 3, activation="relu", name="second")(x)
    x = keras.layers.Conv2D(8, 3, activation="relu", name="third")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    network = keras.Model(
        source, keras.layers.GlobalAveragePooling2D(name="features")(x), name="tiny"
    )
    kernel, bias = network.get_layer("third").get_weights()
    network.get_layer("third").set_weights([kernel - kernel.mean(axis=(0, 1)), bias])
    network.trainable = False
    return network


@pytest.fixture(scope="class")
def tiny():
    backbones.FROZEN["tiny"] = lambda parameters: Backbone("tiny", TINY_DIGEST, 32, 8, build_tiny)
    yield
    del backbones.FROZEN["tiny"]


class TestPictures:
    def picture(self) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)

    def test_the_same_seed_augments_alike_and_another_differently(self):
        batch = np.stack([self.picture()] * 3)
        first, again, other = (
            augmentation.augment_batch(batch, np.random.default_rng(seed)) for seed in (1, 1, 2)
        )
        assert (first == again).all()
        assert (first != other).any()
        assert (first[0] != first[1]).any()
        assert first.min() >= 0
        assert first.max() <= 255

    def test_a_flat_picture_stays_flat(self):
        flat = np.full((1, 8, 8, 3), 90, np.uint8)
        for seed in range(5):
            found = augmentation.augment_batch(flat, np.random.default_rng(seed))
            assert np.ptp(found) < 1e-3
            assert 60 < found.mean() < 120

    def test_splits_are_in_an_order_that_depends_on_the_samples_only(self):
        examples = make_task().examples
        forwards, backwards = (
            augmentation.load_picture_pixels(each, 8) for each in (examples, examples[::-1])
        )
        for which in ("train", "validation"):
            (pixels, labels), (again, labels_again) = (
                found.split(which, CLASS_NAMES) for found in (forwards, backwards)
            )
            assert (pixels == again).all()
            assert (labels == labels_again).all()
            assert len(labels) == sum(example.split == which for example in examples)

    def test_what_has_no_picture_or_cannot_be_read_is_left_out(self):
        def broken() -> bytes:
            raise OSError("the disk is gone")

        examples = [make_example(0, 1, "train"), make_example(1, 1, "train", kept=False)]
        examples.append(replace(make_example(2, 1, "train"), read=broken))
        found = augmentation.load_picture_pixels(examples, 8)
        assert [example.category for example in found.examples] == ["dark"]
        assert found.pixels.shape == (1, 8, 8, 3)
        assert list(found.unread.values()) == ["the disk is gone"]


class TestRefusals:
    """None of them looks at a picture, loads a network or needs TensorFlow."""

    def refusal(self, **fields) -> str:
        task = make_task(20, **({"parameters": {"backbone": "lite0", "fine_tune": True}} | fields))
        with pytest.raises(TrainingFailed) as caught:
            LocalTrainer(alias="keras").train(task)
        return str(caught.value)

    def test_categories_of_which_only_vectors_are_kept_are_named(self):
        examples = [
            replace(each, read=None) if each.category == "dark" else each
            for each in make_task(20).examples
        ]
        sentence = self.refusal(examples=examples)
        assert "only feature vectors are kept" in sentence
        assert "dark" in sentence
        assert "bright" not in sentence

    def test_too_few_validation_pictures_are_counted(self):
        examples = [e for e in make_task(20).examples if e.split == "train"] + [
            make_example(0, 600, "validation")
        ]
        assert "there are 1." in self.refusal(examples=examples)

    def test_scratch_has_nothing_to_tune(self):
        assert "learns as a whole" in self.refusal(
            parameters={"backbone": "scratch", "fine_tune": True}
        )


@pytest.mark.outer
class TestFineTuning(TrainerContract):
    """On a network of random weights, which has much to learn."""

    @pytest.fixture(scope="class")
    @classmethod
    def trainer(cls, tiny):
        return LocalTrainer(alias="keras")

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls):
        return make_task(20, parameters={"backbone": "tiny", "fine_tune": True, "epochs": 10})

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def quick(cls):
        """Large steps: something is to change in a few epochs."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(finetuning, "LEARNING_RATE", 1e-2)
            yield

    @pytest.fixture
    def hopeless(self, monkeypatch):
        """Steps so large that the network ends up worse."""
        monkeypatch.setattr(finetuning, "LEARNING_RATE", 1e4)

    def test_says_what_it_brought(self, trained):
        assert any(
            note.startswith("Fine-tuning lowered the validation loss from ")
            for note in trained.notes
        )

    def test_its_curves_are_drawn_two_by_two(self, trained):
        assert 1 <= len(trained.curves["fine_tuning_loss"]) <= 10
        charts = {
            chart.title: [line.name for line in chart.lines]
            for chart in plots.training_charts(trained.curves)
        }
        assert charts["fine tuning loss"] == ["fine_tuning_loss", "validation_fine_tuning_loss"]
        assert charts["fine tuning accuracy"] == [
            "fine_tuning_accuracy",
            "validation_fine_tuning_accuracy",
        ]

    def test_progress_is_told_epoch_by_epoch(self, trained, told):
        notes = [note for _done, _total, note in told if note.startswith("Fine-tuning")]
        assert notes[0] == "Fine-tuning, epoch 1 of at most 10, step 1 of 3"
        assert notes[2] == "Fine-tuning, epoch 1 of at most 10, step 3 of 3"
        assert notes[3].startswith(
            "Fine-tuning, epoch 2 of at most 10, step 1 of 3, validation loss "
        )

    def test_only_the_top_has_changed(self, trained):
        import keras

        bundle = bundles.open_bundle(servable(trained))
        network = keras.models.load_model(bundle.paths[bundles.KERAS_MODEL]).get_layer("tiny")
        before = build_tiny()
        changed = {
            layer.name
            for layer in before.layers
            if any(
                (old != new).any()
                for old, new in zip(
                    layer.get_weights(), network.get_layer(layer.name).get_weights(), strict=True
                )
            )
        }
        assert changed == {"third"}

    def test_its_vectors_mix_with_those_of_the_frozen_network_nowhere(self, trainer, trained, task):
        backbone = bundles.open_bundle(servable(trained)).manifest["backbone"]
        assert backbone["tuned_from"] == TINY_DIGEST != backbone["digest"]
        assert not backbone["frozen"]
        samples = [example.sha256 for example in task.examples]
        trainer.predict_proba(servable(trained), task.examples)
        assert FeatureCache(backbone["digest"]).get(samples) == {}
        plain = trainer.train(replace(task, parameters={"backbone": "tiny"}))
        assert plain.manifest["backbone"]["digest"] == TINY_DIGEST
        assert plain.digest != trained.digest

    def test_the_parity_of_what_is_served_is_checked(self, trained):
        assert trained.manifest["parity"]["pictures"] > 10

    def test_a_network_that_got_worse_is_not_kept(self, trainer, task, hopeless):
        tuned = trainer.train(task)
        assert any("did not lower the validation loss" in note for note in tuned.notes)
        assert "fine_tuning_loss" in tuned.curves
        plain = trainer.train(replace(task, parameters={"backbone": "tiny"}))
        assert tuned.manifest["backbone"] == plain.manifest["backbone"]
        assert tuned.digest == plain.digest

    def test_samples_of_which_only_vectors_are_kept_are_left_out_and_told(
        self, trainer, trained, task
    ):
        vectors_only = replace(task.examples[0], read=None)
        model = trainer.train(replace(task, examples=[vectors_only, *task.examples[1:]]))
        assert any(
            "1 sample was not used: fine-tuning needs pictures" in note for note in model.notes
        )
        assert sum(model.manifest["data"]["splits"].values()) == 47

    def test_can_be_cancelled_in_the_middle_of_an_epoch(self, trainer, task):
        def stop(done, total, note=""):
            if "epoch 1 of at most 10, step 2 of 3" in note:
                raise Cancelled

        with pytest.raises(Cancelled):
            trainer.train(task, stop)


@pytest.mark.outer
class TestTop:
    def test_of_lite0_it_is_the_last_stages(self):
        from training.backbones import lite0

        network = lite0.build_network()
        network.trainable = False
        finetuning.unfreeze_top(network)
        freed = [layer.name for layer in network.layers if layer.trainable_weights]
        assert {name.partition("._")[0] for name in freed} == {
            # 16 of 49 convolutions: three of each of these blocks, and the one on top
            *(f"blocks.{place}" for place in range(11, 16)),
            "conv_head",
        }

    def test_of_networks_inside_networks_it_is_the_top_without_normalisations(self):
        import keras

        from training.backbones import imagenet

        pixels = keras.layers.Input((224, 224, 3))
        network = keras.Model(pixels, imagenet.untrained_network("imagenet")(pixels))
        network.trainable = False
        finetuning.unfreeze_top(network)
        freed = {weight.path for weight in network.trainable_weights}
        assert any("Conv_1" in path for path in freed)
        assert any("block_14" in path for path in freed)
        assert not any("block_5_" in path or "bn" in path.lower() for path in freed)


@pytest.mark.django_db
class TestAsking:
    def test_is_a_parameter_of_the_run(self):
        run = make_run(make_trainable(), trainer="keras", backbone="lite0", fine_tune=True)
        assert run.parameters == {"backbone": "lite0", "fine_tune": True}

    def test_without_it_nothing_is_written_down(self):
        assert make_run(make_trainable(), trainer="keras", backbone="lite0").parameters == {
            "backbone": "lite0"
        }

    def test_what_cannot_be_tuned_is_refused_with_what_can(self):
        with pytest.raises(InvalidInput, match="can be fine-tuned here: lite0"):
            make_run(make_trainable(), trainer="keras", backbone="scratch", fine_tune=True)
        with pytest.raises(InvalidInput, match="can be fine-tuned here: none"):
            make_run(make_trainable(), fine_tune=True)

    def test_the_form_offers_it_where_the_trainer_can(self):
        project = make_trainable()
        assert "fine_tune" not in StartRunForm(project=project).fields
        project.trainer = "keras"
        assert "fine_tune" in StartRunForm(project=project).fields
        assert not DummyTrainer(alias="dummy").supports_fine_tuning("")

    def test_the_command_passes_it_on(self, monkeypatch):
        make_trainable()
        with pytest.raises(CommandError, match="can be fine-tuned here"):
            call_command("retrain", "--fine-tune", stdout=StringIO())
        asked = []

        def begin(project, options):
            asked.append(options)
            raise InvalidInput("enough")

        monkeypatch.setattr(submission, "submit_and_claim_run", begin)
        with pytest.raises(CommandError, match="enough"):
            call_command("retrain", stdout=StringIO())
        assert [options.fine_tune for options in asked] == [False]


def test_the_module_loads_no_tensorflow():
    source = Path(finetuning.__file__).read_text()
    assert "\nimport keras" not in source
    assert "\nimport tensorflow" not in source

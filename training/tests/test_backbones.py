from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest

from common.errors import InvalidInput
from predictions.predictors.local.engine import LiteRtEngine
from training import backbones
from training.backbones import imagenet, scratch
from training.backbones.base import weights_digest
from training.checks import check_defaults, check_trainers, check_weights_folder
from training.errors import TrainingFailed
from training.tests.factories import make_run, make_trainable
from training.trainers.local import export

if TYPE_CHECKING:
    import keras

ROOT = Path(__file__).resolve().parent.parent.parent
WEIGHTS = ROOT.parent / "shared" / "weights" / "mobilenetv2_100_224_qat_int8.npz"


class TestRegistry:
    def test_the_default_comes_first(self, settings):
        settings.DEFAULT_BACKBONE = "imagenet"
        every = [
            "imagenet",
            "lite0",
            "lite0-160",
            "lite0-inspection",
            "mobilenetv3small",
            "mobilenetv3large",
            "efficientnetv2b0",
            "scratch",
            "auto",
        ]
        assert backbones.backbone_names() == every

    def test_an_unknown_name_is_told_with_the_known_ones(self):
        with pytest.raises(
            TrainingFailed, match="lite0, lite0-160, lite0-inspection, imagenet, .*, scratch, auto"
        ):
            backbones.load("vgg")

    def test_the_digest_tells_weights_and_sizes_apart(self, tmp_path):
        one, other = tmp_path / "one", tmp_path / "other"
        one.write_bytes(b"1")
        other.write_bytes(b"2")
        digests = {
            weights_digest(one, "net", 112),
            weights_digest(other, "net", 112),
            weights_digest(one, "net", 224),
        }
        assert len(digests) == 3
        assert weights_digest(one, "net", 112) in digests


class TestRetired:
    def test_the_successor_is_named(self):
        with pytest.raises(TrainingFailed, match="“bundled” is no longer .* Choose “lite0”"):
            backbones.load("bundled")

    def test_a_run_is_refused_before_it_is_made(self, db):
        with pytest.raises(InvalidInput, match="“bundled” is no longer .* Choose “lite0”"):
            make_run(make_trainable(), trainer="keras", backbone="bundled")

    def test_as_the_default_it_is_an_error_of_the_settings(self, settings, db):
        settings.DEFAULT_TRAINER, settings.DEFAULT_BACKBONE = "keras", "bundled"
        [error] = [each for each in check_defaults(None) if each.id == "training.E003"]
        assert "Choose “lite0”" in error.hint


@pytest.mark.parametrize("name", imagenet.NETWORKS)
class TestEveryImageNetNetwork:
    def test_the_folder_may_hold_either_file(self, settings, tmp_path, name):
        network = imagenet.NETWORKS[name]
        settings.CLASSIFR_WEIGHTS_DIR = str(tmp_path)
        for file in (network.own_file, network.file):  # the published one comes first
            (tmp_path / file).write_bytes(file.encode())
            backbone = backbones.load(name)
            assert backbone.digest == weights_digest(
                tmp_path / file, network.architecture, network.input_size
            )
            assert (backbone.name, backbone.features) == (name, network.features)

    @pytest.mark.outer
    def test_weights_that_cannot_be_fetched_are_named(self, settings, tmp_path, monkeypatch, name):
        import keras

        asked = []

        def no_network(file, address, **options):
            asked.append((file, address, options["file_hash"]))
            raise Exception("URL fetch failure")

        network = imagenet.NETWORKS[name]
        settings.CLASSIFR_WEIGHTS_DIR = str(tmp_path)
        monkeypatch.setattr(keras.utils, "get_file", no_network)
        with pytest.raises(
            TrainingFailed, match=rf"{re.escape(network.file)}.*CLASSIFR_WEIGHTS_DIR"
        ):
            backbones.load(name)
        assert asked == [(network.file, network.address, network.md5)]

    @pytest.mark.outer
    def test_is_fetched_from_where_keras_itself_would(self, monkeypatch, name):
        """Its own builder is asked for the published weights; what it would fetch is what our table
        says.
        """
        import keras

        class Asked(Exception):
            pass

        def note(file, address, cache_subdir, file_hash=None):
            raise Asked(file, address, file_hash)

        network = imagenet.NETWORKS[name]
        builder = getattr(keras.applications, network.function)
        module = sys.modules[builder.__module__]
        monkeypatch.setattr(module.file_utils, "get_file", note)
        with pytest.raises(Asked) as asked:
            builder(
                input_shape=(network.input_size, network.input_size, 3),
                include_top=False,
                pooling="avg",
            )
        assert asked.value.args == (network.file, network.address, network.md5)

    @pytest.mark.outer
    def test_loads_the_published_form(self, settings, tmp_path, name):
        saved, _path = random_weights(name, tmp_path, published=True)
        settings.CLASSIFR_WEIGHTS_DIR = str(tmp_path)
        loaded = backbones.load(name).build().get_weights()
        assert all(
            (one == other).all() for one, other in zip(loaded, saved.get_weights(), strict=True)
        )

    @pytest.mark.outer
    def test_says_of_plain_pixels_what_the_bare_network_says_of_scaled_ones(
        self, settings, tmp_path, name
    ):
        """In Keras and compiled; scaled as Keras documents it. The weights come from our own form
        of file.
        """
        import keras

        settings.DATA_DIR = tmp_path
        saved, path = random_weights(name, tmp_path, published=False)
        backbone = backbones.load(name, {"weights": str(path)})
        shape = (2, backbone.input_size, backbone.input_size, 3)
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        scaled = pixels.astype(np.float32)
        if not imagenet.NETWORKS[name].scales:
            scaled = keras.applications.mobilenet_v2.preprocess_input(scaled)
        expected = np.asarray(saved.predict_on_batch(scaled))
        assert expected.shape == (2, backbone.features)
        assert expected.std() > 0
        in_keras = np.asarray(backbone.build().predict_on_batch(pixels.astype(np.float32)))
        np.testing.assert_allclose(in_keras, expected, rtol=1e-3, atol=1e-5 * expected.std())
        compiled = LiteRtEngine(export.export_backbone(backbone)).run(pixels)["features"]
        np.testing.assert_allclose(compiled, expected, rtol=1e-2, atol=1e-2 * expected.std())

    @pytest.mark.outer
    def test_a_file_of_something_else_is_refused(self, tmp_path, name):
        path = tmp_path / "other.weights.h5"
        path.write_bytes(b"no weights at all")
        with pytest.raises(
            TrainingFailed, match=rf"{imagenet.NETWORKS[name].function} without its classifier"
        ):
            backbones.load(name, {"weights": str(path)}).build()


class TestImageNet:
    def test_a_path_without_a_file_is_told(self, tmp_path):
        with pytest.raises(TrainingFailed, match="no file of weights at"):
            backbones.load("imagenet", {"weights": str(tmp_path / "nowhere.h5")})

    def test_a_given_path_wins_over_the_folder(self, settings, tmp_path):
        settings.CLASSIFR_WEIGHTS_DIR = str(tmp_path)
        (tmp_path / imagenet.NETWORKS["imagenet"].file).write_bytes(b"in the folder")
        (tmp_path / "given.h5").write_bytes(b"given")
        given = backbones.load("imagenet", {"weights": str(tmp_path / "given.h5")})
        assert given.digest != backbones.load("imagenet").digest

    @pytest.mark.outer
    def test_the_weights_of_another_network_are_refused(self, tmp_path):
        _saved, path = random_weights("mobilenetv3small", tmp_path, published=False)
        with pytest.raises(TrainingFailed, match="Wanted is weights_mobilenet_v3_large"):
            backbones.load("mobilenetv3large", {"weights": str(path)}).build()

    @pytest.mark.outer
    @pytest.mark.skipif(not WEIGHTS.exists(), reason="the test weights of ../shared are not here")
    def test_real_weights_tell_pictures_apart(self, tmp_path):
        script = ROOT / "bench" / "mobilenet_weights.py"
        subprocess.run(
            [sys.executable, script, WEIGHTS, tmp_path],
            check=True,
            timeout=300,
            capture_output=True,
        )
        own_file = imagenet.NETWORKS["imagenet"].own_file
        backbone = backbones.load("imagenet", {"weights": str(tmp_path / own_file)})
        pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype(np.float32)
        features = np.asarray(backbone.build().predict_on_batch(pixels))
        assert features.shape == (2, backbone.features)
        assert 0 < features.mean() < 6  # ReLU6 lies behind


def random_weights(name: str, folder: Path, *, published: bool) -> tuple[keras.Model, Path]:
    """Save a network of random weights, in the published form or in that of Keras 3; return it and
    the file.
    """
    import keras
    from keras.src.legacy.saving import legacy_h5_format

    keras.utils.clear_session()
    keras.utils.set_random_seed(7)
    model = imagenet.untrained_network(name)
    network = imagenet.NETWORKS[name]
    path = folder / (network.file if published else network.own_file)
    if published:
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
    else:
        model.save_weights(path)
    return model, path


class TestScratch:
    def test_augmented_pictures_keep_their_shape_and_range(self):
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
        result = scratch.augment_shift(pixels, rng)
        assert result.shape == pixels.shape
        assert result.min() >= 0
        assert result.max() <= 255
        assert not (result == pixels).all()

    def test_the_same_seed_augments_alike(self):
        pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
        one, other = (scratch.augment_shift(pixels, np.random.default_rng(3)) for _time in range(2))
        assert (one == other).all()


class TestChecks:
    def test_the_defaults_are_in_order(self):
        assert [*check_trainers(None), *check_defaults(None), *check_weights_folder(None)] == []

    def test_an_unknown_trainer_is_told(self, settings):
        settings.DEFAULT_TRAINER = "sklearn"
        assert [message.id for message in check_defaults(None)] == ["training.E002"]

    def test_an_unknown_backbone_is_told(self, settings):
        settings.DEFAULT_BACKBONE = "vgg"
        assert [message.id for message in check_defaults(None)] == ["training.E003"]

    def test_a_trainer_that_cannot_be_built_is_told_once(self, settings):
        settings.TRAINERS = {"keras": {"BACKEND": "training.trainers.nowhere.Trainer"}}
        assert [message.id for message in check_trainers(None)] == ["training.E001"]
        assert check_defaults(None) == []

    def test_a_weights_folder_that_is_none_is_told(self, settings, tmp_path):
        settings.CLASSIFR_WEIGHTS_DIR = str(tmp_path / "nowhere")
        assert [message.id for message in check_weights_folder(None)] == ["training.E004"]

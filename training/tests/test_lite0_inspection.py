"""The backbone for inspection: it sees the whole picture, and what stands out in it."""

import json
import zipfile
from io import BytesIO

import numpy as np
import pytest

from customvision.exported.archive import PROPERTIES, read_archive
from customvision.exported.pixels import STRETCH, read_preprocessing
from predictions.predictors.local import bundles, preprocessing
from predictions.predictors.local.engine import LiteRtEngine
from training import backbones, exports
from training.backbones import lite0, lite0_inspection
from training.errors import TrainingFailed
from training.tests.trainer_contract import TrainerContract, make_task, servable
from training.trainers.local import export
from training.trainers.local.trainer import LocalTrainer


@pytest.fixture
def data_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "data"
    return settings.DATA_DIR


@pytest.mark.usefixtures("data_folder")
class TestBackbone:
    @pytest.mark.outer
    def test_is_another_than_lite0_and_sees_the_whole_picture(self):
        backbone, plain = backbones.load("lite0-inspection"), backbones.load("lite0")
        assert backbone.features == 1280 + 4 * (40 + 80 + 112 + 192)
        assert backbone.digest != plain.digest
        assert (backbone.preparation.whole, plain.preparation.whole) == (True, False)

    def test_the_digest_stays(self):
        """Another would lose all cached vectors; one is needed if other numbers come out."""
        assert backbones.load("lite0-inspection").digest == "547fee373e318ae524732cfe62dcade7"

    def test_every_feature_is_of_an_early_or_a_late_layer(self):
        spans = sorted(span for part in lite0_inspection.feature_parts() for span in part)
        assert spans[0][0] == 0 and spans[-1][1] == lite0_inspection.FEATURES
        assert all(one[1] == other[0] for one, other in zip(spans, spans[1:], strict=False))


@pytest.mark.outer
class TestNetwork:
    def test_its_features_are_the_statistics_of_the_taps(self):
        import keras

        network = lite0_inspection.load_network()
        pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype(np.float32)
        taps = [network.get_layer(f"tap_{channels}").input for channels in lite0.TAPPED]
        seen = keras.Model(network.input, taps).predict_on_batch(pixels)
        expected = []
        for values in map(np.asarray, seen):
            ordered = np.sort(values.reshape(2, -1, values.shape[-1]), axis=1)
            few = -(-ordered.shape[1] // 100)
            expected += [
                ordered.mean(axis=1),
                ordered.std(axis=1),
                ordered[:, -few:].mean(axis=1),
                ordered[:, :few].mean(axis=1),
            ]
        features = np.asarray(network.predict_on_batch(pixels))
        np.testing.assert_allclose(features[:, 1280:], np.concatenate(expected, axis=1), atol=1e-3)

    def test_the_compiled_one_answers_as_the_one_in_keras(self, data_folder):
        backbone = backbones.load("lite0-inspection")
        pixels = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
        expected = np.asarray(backbone.build().predict_on_batch(pixels.astype(np.float32)))
        compiled = LiteRtEngine(export.export_backbone(backbone)).run(pixels)
        np.testing.assert_allclose(compiled["features"], expected, atol=1e-3)


@pytest.mark.outer
class TestTraining(TrainerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def trainer(cls):
        return LocalTrainer(alias="keras")

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls):
        return make_task(10, parameters={"backbone": "lite0-inspection"})

    def test_the_bundle_says_how_it_sees_pictures(self, trained):
        manifest = bundles.open_bundle(servable(trained)).manifest
        assert manifest["backbone"]["name"] == "lite0-inspection"
        assert preprocessing.preparation_of(manifest) == preprocessing.WHOLE_PICTURE

    def test_its_export_says_so_too(self, trained):
        data = exports.build_archive(servable(trained), ["a", "b", "c"], "lite")
        with zipfile.ZipFile(BytesIO(data)) as archive:
            assert "whatever its proportions" in archive.read("README.txt").decode()
            properties = json.loads(archive.read(PROPERTIES))
        exported = read_archive(BytesIO(data))
        assert not exported.is_own
        found = read_preprocessing(properties, width=224, height=224, is_onnx=False)
        assert (found.method, found.is_bgr, found.divisor) == (STRETCH, False, 1.0)

    def test_it_cannot_be_fine_tuned(self, trainer):
        parameters = {"backbone": "lite0-inspection", "fine_tune": True}
        assert not trainer.supports_fine_tuning("lite0-inspection")
        with pytest.raises(TrainingFailed, match="cannot be fine-tuned"):
            trainer.train(make_task(20, parameters=parameters))

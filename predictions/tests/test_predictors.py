import gc
import hashlib
import io
import json
import subprocess
import sys
import time
import weakref
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, storages
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from common.media import images
from predictions.predictors import loaded_models
from predictions.predictors.base import PredictorError, PredictorUnavailable, predictors
from predictions.predictors.dummy import DummyPredictor
from predictions.predictors.local import bundles, preprocessing, verified_files
from predictions.predictors.local import engine as local_engine
from predictions.predictors.local import predictor as local_predictor
from predictions.predictors.local.engine import BATCH_LIMIT, LiteRtEngine
from predictions.predictors.local.predictor import LocalPredictor
from predictions.tests import tiny_model
from predictions.tests.predictor_contract import PredictorContract, picture_of

MODELS = "predictions.tests.test_predictors.RemoteStorage"


class RemoteStorage(InMemoryStorage):
    """A storage without paths, as a blob service is; counts what is fetched, and can be down."""

    fetched: list[str] = []  # noqa: RUF012
    down = False

    def open(self, name, mode="rb"):
        if self.down:
            raise ConnectionError("no answer")
        self.fetched.append(name)
        return super().open(name, mode)


@pytest.fixture(autouse=True)
def models_of_this_test(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    settings.STORAGES = settings.STORAGES | {
        "models": {
            "BACKEND": "common.storages.DiskStorage",
            "OPTIONS": {"location": str(tmp_path / "models")},
        }
    }


@pytest.fixture
def remote(settings):
    settings.STORAGES = settings.STORAGES | {"models": {"BACKEND": MODELS}}
    storage: Any = storages["models"]
    storage.fetched = []
    return storage


@pytest.fixture
def only_features(monkeypatch):
    """Within it, networks that are loaded end with feature vectors."""

    class Bare(LiteRtEngine):
        def __init__(self, path, **options):
            super().__init__(path, **options)
            self.outputs = ("features",)

        def run(self, pixels):
            return {"features": super().run(pixels)["features"]}

    @contextmanager
    def within():
        with monkeypatch.context() as patch:
            patch.setattr(local_predictor, "shared_engine", lambda path, sha256: Bare(path))
            yield

    return within


@pytest.fixture
def predictor():
    return LocalPredictor(alias="keras")


@pytest.fixture
def model():
    return tiny_model.write_tiny_bundle()


def file_of(model, name) -> Path:
    return Path(storages["models"].path(f"{model.reference}/{name}"))


class TestDummyPredictor(PredictorContract):
    @pytest.fixture
    def predictor(self):
        return DummyPredictor(alias="dummy")

    @pytest.fixture
    def model(self):
        from predictions.predictors.base import ModelRef

        return ModelRef(reference="dummy", class_names=("dark", "middle", "bright"))

    def test_answers_by_brightness(self, predictor, model):
        for colour, expected in (("black", "dark"), ("grey", "middle"), ("white", "bright")):
            (scores,) = predictor.predict([picture_of(colour)], model)
            assert max(scores, key=scores.__getitem__) == expected


class TestKerasPredictor(PredictorContract):
    @pytest.fixture
    def broken_model(self, model):
        return replace(model, reference="colours/0123456789abcdef")

    def test_sees_what_the_model_knows(self, predictor, model):
        for colour in ("red", "blue", "lime"):
            (scores,) = predictor.predict([picture_of(colour)], model)
            expected = "green" if colour == "lime" else colour
            assert max(scores, key=scores.__getitem__) == expected
            assert scores[expected] > 0.99

    def test_augmentation_averages_three_centre_crops(self, predictor, model):
        image = Image.new("RGB", (100, 100), "red")
        image.paste("blue", (20, 20, 80, 80))
        picture = replace(picture_of("red"), image=image)
        # 0.65: one pixel more is left at the right
        boxes = (
            (0, 0, 100, 100),
            (10, 10, 90, 90),
            (17, 17, 82, 82),
        )
        crops = [replace(picture, image=image.crop(box)) for box in boxes]
        single = predictor.predict(crops, model)
        (averaged,) = predictor.predict([picture], model, augment=True)
        for name in model.class_names:
            assert averaged[name] == pytest.approx(
                np.mean([scores[name] for scores in single]), abs=1e-6
            )

    def test_a_model_is_loaded_once(self, model, monkeypatch):
        loaded = []

        def watched(model, real=local_predictor._open):
            loaded.append(model)
            return real(model)

        monkeypatch.setattr(local_predictor, "_open", watched)
        predictor = LocalPredictor(alias="keras")
        for _time in range(3):
            predictor.predict([picture_of("red")], model)
        assert loaded == [model]

    def test_only_the_last_used_models_stay_in_memory(self, model):
        predictor = LocalPredictor(alias="keras", models_in_memory=2)
        others = [tiny_model.write_tiny_bundle(project=f"project-{number}") for number in range(3)]
        for one in (model, others[0], model, others[1]):
            predictor.warm_up(one)
        assert predictor._models.in_memory() == [model, others[1]]

    def test_a_network_that_ends_with_features_gets_its_head_from_the_bundle(
        self, predictor, model, only_features
    ):
        without = tiny_model.write_tiny_bundle("without")
        with only_features():
            own = LocalPredictor(alias="keras").predict_scored([picture_of("red")], without)
        compiled = predictor.predict_scored([picture_of("red")], model)
        assert own[0].scores == pytest.approx(compiled[0].scores, abs=1e-6)
        assert sum(own[0].scores.values()) == pytest.approx(1)

    def test_a_heat_map_is_of_the_same_probabilities(self, predictor, model, only_features):
        expected = predictor.explain(picture_of("red"), model)
        with only_features():
            found = LocalPredictor(alias="keras").explain(picture_of("red"), model)
        assert found == pytest.approx(expected, abs=1e-5)

    def test_a_head_that_is_damaged_is_refused(self, model, only_features):
        file_of(model, bundles.HEAD).write_bytes(b"other numbers")
        with only_features(), pytest.raises(PredictorError, match="head.npz"):
            LocalPredictor(alias="keras").warm_up(model)

    def test_the_head_of_another_network_is_refused(self, only_features):
        wide = io.BytesIO()
        np.savez(wide, kernel=np.ones((5, 3)), bias=np.zeros(3), temperature=np.float64(1))
        model = tiny_model.write_tiny_bundle(head=wide.getvalue())
        with only_features(), pytest.raises(PredictorError, match="cannot be run"):
            LocalPredictor(alias="keras").warm_up(model)

    def test_models_with_the_same_compiled_file_share_its_engine(self, predictor, model):
        other = tiny_model.write_tiny_bundle(project="other")
        assert other.digest != model.digest or other.reference != model.reference
        predictor.warm_up(model)
        predictor.warm_up(other)
        assert predictor._models[model].engine is predictor._models[other].engine

    def test_an_engine_goes_with_the_last_model_that_uses_it(self, model, monkeypatch):
        # Its own: a predictor of another test may still use the same file
        monkeypatch.setattr(local_engine, "_shared", weakref.WeakValueDictionary())
        predictor = LocalPredictor(alias="keras")
        predictor.warm_up(model)
        engine = weakref.ref(predictor._models[model].engine)
        del predictor
        gc.collect()
        assert engine() is None

    def test_a_model_that_other_categories_were_written_to_is_refused(self, predictor, model):
        with pytest.raises(PredictorError, match="other categories"):
            predictor.predict([picture_of("red")], replace(model, class_names=("red", "green")))

    def test_a_model_of_another_preprocessing_is_refused(self, predictor):
        model = tiny_model.write_tiny_bundle(
            preprocessing={"name": "stretched", "digest": "0" * 16}
        )
        with pytest.raises(PredictorError, match="preparing pictures"):
            predictor.warm_up(model)

    def test_a_compiled_file_that_is_none_is_refused(self, predictor):
        model = tiny_model.write_tiny_bundle(compiled=b"TFL3, but not really")
        with pytest.raises(PredictorError, match="compiled file"):
            predictor.warm_up(model)

    def test_a_broken_model_is_not_tried_at_every_request_but_again_after_a_while(
        self, predictor, model, monkeypatch
    ):
        path = file_of(model, bundles.COMPILED_MODEL)
        content = path.read_bytes()
        path.write_bytes(b"broken")
        with pytest.raises(PredictorError):
            predictor.warm_up(model)
        path.write_bytes(content)
        with pytest.raises(PredictorError):
            predictor.warm_up(model)
        now = time.monotonic()
        monkeypatch.setattr(
            loaded_models.time, "monotonic", lambda: now + loaded_models.RETRY_AFTER_SECONDS + 1
        )
        assert predictor.predict([picture_of("red")], model)

    def test_a_broken_model_does_not_hinder_another(self, predictor, model):
        broken = replace(model, digest="f" * 64)
        with pytest.raises(PredictorError):
            predictor.warm_up(broken)
        assert predictor.predict([picture_of("red")], model)

    def test_a_silent_storage_is_another_matter_than_a_broken_model(self, predictor, remote):
        model = tiny_model.write_tiny_bundle()
        remote.down = True
        with pytest.raises(PredictorUnavailable, match="Try again"):
            predictor.warm_up(model)

    def test_its_options_are_checked(self):
        assert [
            message.id for message in LocalPredictor(alias="keras", models_in_memory=0).check()
        ] == ["predictions.E002"]

    def test_answering_imports_neither_tensorflow_nor_keras(self, model, tmp_path):
        script = f"""
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "classifr.settings"
import django; django.setup()
from predictions.predictors.base import ModelRef, predictors
from predictions.tests.predictor_contract import picture_of
model = ModelRef({model.reference!r}, {model.class_names!r}, {model.digest!r})
predictors["keras"].predict([picture_of("red")], model, augment=True)
heavy = [name for name in sys.modules if name.split(".")[0] in ("tensorflow", "keras", "torch", "jax")]
assert not heavy, heavy
"""  # noqa: E501
        environment = {
            "CLASSIFR_DATA_DIR": str(tmp_path),
            "PATH": "/usr/bin:/bin",
            "SECRET_KEY": "of no worth",
        }
        root = Path(__file__).resolve().parent.parent.parent
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr


class TestBundles:
    def test_the_same_model_gets_the_same_name(self, model):
        assert tiny_model.write_tiny_bundle() == model

    def test_is_named_by_project_and_digest(self, model):
        assert model.reference == f"colours/{model.digest[:16]}"

    def test_all_its_files_are_found_and_verified(self, model):
        bundle = bundles.open_bundle(model)
        assert set(bundle.paths) == {bundles.COMPILED_MODEL, bundles.HEAD}
        for name, path in bundle.paths.items():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == bundle.manifest["files"][name]

    @pytest.mark.parametrize("name", [bundles.COMPILED_MODEL, bundles.HEAD, bundles.MANIFEST])
    def test_one_changed_byte_in_any_file_is_noticed(self, model, name):
        path = file_of(model, name)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))
        with pytest.raises(PredictorError, match=f"{name}.*not what was trained"):
            bundles.open_bundle(model)

    @pytest.mark.parametrize("name", [bundles.COMPILED_MODEL, bundles.MANIFEST])
    def test_a_missing_file_is_told_by_name(self, model, name):
        file_of(model, name).unlink()
        with pytest.raises(PredictorError, match=f"{name}.*missing.*promote another"):
            bundles.open_bundle(model)

    def test_a_manifest_that_was_exchanged_with_its_files_is_noticed(self, model):
        other = tiny_model.write_tiny_bundle(temperature=2.0)
        file_of(model, bundles.MANIFEST).write_bytes(file_of(other, bundles.MANIFEST).read_bytes())
        with pytest.raises(PredictorError, match="not what was trained"):
            bundles.open_bundle(model)

    @pytest.mark.parametrize(
        "reference", ["../../etc/0123456789abcdef", "dummy", "colours/", "/c/0123456789abcdef"]
    )
    def test_what_is_no_bundle_is_not_looked_for(self, model, reference):
        with pytest.raises(PredictorError, match="not a model of this predictor"):
            bundles.open_bundle(replace(model, reference=reference))

    def test_a_model_without_a_digest_is_not_trusted(self, model):
        with pytest.raises(PredictorError, match="not a model of this predictor"):
            bundles.open_bundle(replace(model, digest=""))

    def test_a_file_that_the_manifest_does_not_name_is_not_opened(self, model):
        file_of(model, bundles.KERAS_MODEL).write_bytes(b"added later")
        with pytest.raises(PredictorError, match=r"model\.keras.*missing"):
            bundles.open_bundle(model, bundles.KERAS_MODEL)

    @pytest.mark.parametrize("name", ["model.h5", "model.pkl", "../model.tflite"])
    def test_other_kinds_of_files_cannot_be_written(self, name):
        with pytest.raises(ValueError, match="A bundle holds"):
            bundles.write_bundle("colours", {name: b""}, {})

    def test_a_crash_before_the_manifest_leaves_no_bundle(self, monkeypatch):
        written = []

        def crash_at_the_manifest(name, data, real=bundles._replace):
            written.append(name)
            if name.endswith(bundles.MANIFEST):
                raise OSError("no space left")
            real(name, data)

        with monkeypatch.context() as patched:
            patched.setattr(bundles, "_replace", crash_at_the_manifest)
            with pytest.raises(OSError, match="no space"):
                tiny_model.write_tiny_bundle()
        assert written[-1].endswith(bundles.MANIFEST)
        model = tiny_model.write_tiny_bundle()  # taken up again
        assert bundles.open_bundle(model).manifest["class_names"] == list(tiny_model.CLASS_NAMES)

    def test_a_manifest_of_another_format_is_refused(self, monkeypatch):
        monkeypatch.setattr(bundles, "FORMAT", 2)
        model = tiny_model.write_tiny_bundle()
        monkeypatch.undo()
        with pytest.raises(PredictorError, match="another version of Classifr"):
            bundles.open_bundle(model)

    def test_a_remote_bundle_is_fetched_once_and_only_what_is_needed(self, remote):
        model = tiny_model.write_tiny_bundle()
        for _time in range(2):
            bundle = bundles.open_bundle(model, bundles.COMPILED_MODEL)
        assert [name.rpartition("/")[2] for name in remote.fetched] == [
            bundles.MANIFEST,
            bundles.COMPILED_MODEL,
        ]
        assert bundle.paths[bundles.COMPILED_MODEL].read_bytes() == tiny_model.FILE.read_bytes()

    def test_a_damaged_local_copy_is_fetched_again(self, remote):
        model = tiny_model.write_tiny_bundle()
        path = bundles.open_bundle(model).paths[bundles.HEAD]
        path.write_bytes(b"damaged")
        assert bundles.open_bundle(model).paths[bundles.HEAD].read_bytes() != b"damaged"

    def test_a_tampered_remote_file_never_reaches_the_disk(self, remote):
        model = tiny_model.write_tiny_bundle()
        name = f"{model.reference}/{bundles.HEAD}"
        remote.delete(name)
        remote.save(name, ContentFile(b"tampered"))
        with pytest.raises(PredictorError, match="not what was trained"):
            bundles.open_bundle(model)
        kept = [path.read_bytes() for path in verified_files.cache_directory("models").iterdir()]
        assert b"tampered" not in kept

    def test_the_manifest_is_plain_json_without_times(self, model):
        manifest = json.loads(file_of(model, bundles.MANIFEST).read_bytes())
        assert manifest["format"] == bundles.FORMAT
        assert not {"created_at", "date", "time", "host"} & manifest.keys()


class TestEngine:
    def test_a_batch_of_any_size_gives_a_row_per_picture(self):
        engine = LiteRtEngine(tiny_model.FILE)
        for count in (0, 1, 3, BATCH_LIMIT + 1, 2):
            pixels = np.zeros((count, 16, 16, 3), np.uint8)
            pixels[..., 0] = np.arange(count, dtype=np.uint8)[:, None, None]
            results = engine.run(pixels)
            assert results["probabilities"].shape == (count, 3)
            assert results["features"][:, 0] == pytest.approx(np.arange(count) / 255, abs=1e-6)

    def test_a_file_that_is_no_model_is_refused(self, tmp_path):
        path = tmp_path / "model.tflite"
        path.write_bytes(b"nothing of the kind")
        with pytest.raises(ValueError):  # noqa: PT011 (the runtime's own words)
            LiteRtEngine(path)

    def test_an_interpreter_that_failed_is_used_again(self):
        engine = LiteRtEngine(tiny_model.FILE)
        with pytest.raises(ValueError, match="dimension|Dimension|mismatch|set tensor"):
            engine.run(np.zeros((1, 5, 5, 3), np.uint8))
        assert engine.run(np.zeros((2, 16, 16, 3), np.uint8))["features"].shape == (2, 3)


class TestPreprocessing:
    def test_the_centre_square_is_what_counts(self):
        image = Image.new("RGB", (90, 30), "red")
        image.paste("blue", (30, 0, 60, 30))
        assert (preprocessing.crop_and_scale(image, 8) == [0, 0, 255]).all()

    @pytest.mark.parametrize(
        ("size", "crop", "box"), [((11, 8), 1.0, (1, 0, 9, 8)), ((10, 10), 0.65, (2, 2, 8, 8))]
    )
    def test_odd_sizes_are_rounded_down(self, size, crop, box):
        pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        left, top, right, bottom = box
        expected = pixels[top:bottom, left:right]
        assert (
            preprocessing.crop_and_scale(Image.fromarray(pixels), right - left, crop=crop)
            == expected
        ).all()

    def test_a_batch_keeps_the_crops_of_a_picture_together(self):
        colours = [Image.new("RGB", (40, 40), colour) for colour in ("red", "lime")]
        batch = preprocessing.crop_batch(colours, 4, crops=preprocessing.CROPS)
        assert batch.shape == (6, 4, 4, 3)
        assert batch[:, 0, 0].argmax(axis=1).tolist() == [0, 0, 0, 1, 1, 1]

    @given(
        st.integers(1, 60), st.integers(1, 60), st.sampled_from(["RGB", "L", "RGBA", "P", "CMYK"])
    )
    def test_any_picture_becomes_pixels(self, width, height, mode):
        for crop in preprocessing.CROPS:
            pixels = preprocessing.crop_and_scale(Image.new(mode, (width, height)), 12, crop=crop)
            assert pixels.shape == (12, 12, 3)
            assert pixels.dtype == np.uint8

    @pytest.mark.parametrize("file_type", ["JPEG", "PNG"])
    def test_training_sees_the_pixels_that_serving_sees(self, file_type):
        noise = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, file_type)
        served = images.decode_upload(buffer.getvalue(), least_side=preprocessing.min_side_for(16))
        assert served.image.size == ((50, 38) if file_type == "JPEG" else (200, 150))
        assert (
            preprocessing.read_pixels(served.data, 16)
            == preprocessing.crop_and_scale(served.image, 16)
        ).all()

    def test_the_definition_and_its_pixels_have_not_changed_unnoticed(self):
        """When this fails, old models no longer fit: change DEFINITION to have them refused."""
        ramp = np.add.outer(np.arange(70) * 3, np.arange(97) * 2).astype(np.uint8)
        image = Image.fromarray(
            np.stack([ramp, ramp.T[:70, :70].repeat(2, 1)[:, :97], 255 - ramp], axis=-1)
        )
        pixels = preprocessing.crop_batch([image], 16, crops=preprocessing.CROPS)
        assert preprocessing.DIGEST == "c1660d05984438cc"
        # Vectors that are kept were read from so many pixels
        assert preprocessing.min_side_for(100) == 200
        assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == "64e2d7f96f90a808"


def test_the_settings_name_both_predictors():
    assert isinstance(predictors["keras"], LocalPredictor)
    assert isinstance(predictors["dummy"], DummyPredictor)


@pytest.mark.outer
def test_the_tiny_model_is_what_its_recipe_makes():
    made = tiny_model.compile_tiny_model()
    path = tiny_model.FILE
    fresh = path.parent / ".tiny_model_again.tflite"
    try:
        fresh.write_bytes(made)
        pixels = np.random.default_rng(2).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
        assert np.allclose(
            LiteRtEngine(path).run(pixels)["probabilities"],
            LiteRtEngine(fresh).run(pixels)["probabilities"],
        )
    finally:
        fresh.unlink(missing_ok=True)

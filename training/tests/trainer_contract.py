"""What every trainer promises, as tests. A new one's test class inherits these and gives the
fixture `trainer`.

The pictures are flat colours of three brightnesses, which anything can learn.
"""

import hashlib
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from django.test import override_settings
from PIL import Image

from common.errors import DomainError
from common.media import images
from common.media.images import Picture
from common.progress import Cancelled
from predictions.predictors.base import ModelRef, predictors
from predictions.predictors.local import verified_files
from training.data.examples import Example
from training.errors import TrainingFailed
from training.trainers.base import TrainedModel, TrainingTask

CLASS_NAMES = ("dark", "middle", "bright")
SPLITS = ("train", "train", "train", "validation", "test")


def make_image(kind: int, number: int) -> Image.Image:
    """Return a noisy picture of one of three brightnesses and colours."""
    noise = np.random.default_rng(1000 * kind + number).integers(0, 40, (36, 48, 3))
    colours = ((10, 20, 60), (60, 170, 60), (210, 190, 180))
    return Image.fromarray((noise + colours[kind]).astype(np.uint8))


def as_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def make_example(kind: int, number: int, split: str, *, kept: bool = True) -> Example:
    digest = hashlib.sha256(f"{kind} {number}".encode()).hexdigest()
    return Example(
        digest,
        CLASS_NAMES[kind],
        split,
        (lambda: as_png(make_image(kind, number))) if kept else None,
    )


def make_task(per_category: int = 10, **fields: Any) -> TrainingTask:
    """Return a task with so many pictures per category: three fifths to train, one to validate, one
    to test.
    """
    examples = [
        make_example(kind, n, SPLITS[n % len(SPLITS)])
        for kind in range(3)
        for n in range(per_category)
    ]
    return TrainingTask(
        **(
            {"project": "colours", "class_names": CLASS_NAMES, "examples": examples, "seed": 7}
            | fields
        )
    )


def servable(model: TrainedModel) -> ModelRef:
    return ModelRef(model.reference, model.class_names, model.digest)


class TrainerContract:
    """Inherit and define the class-scoped fixture `trainer`; override `task` to give parameters."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def own_storages(cls, tmp_path_factory):
        """What is trained once serves all tests of the class."""
        from django.conf import settings

        folder = tmp_path_factory.mktemp("trainer")
        # Where it was converted to, by whichever test came first; that takes half a minute
        backbones = verified_files.cache_directory("backbones")
        (folder / "cache").mkdir()
        (folder / "cache" / "backbones").symlink_to(backbones)
        disk = {
            "BACKEND": "common.storages.DiskStorage",
            "OPTIONS": {"location": str(folder / "kept")},
        }
        with override_settings(DATA_DIR=folder, STORAGES=settings.STORAGES | {"models": disk}):
            yield folder

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls):
        return make_task()

    @pytest.fixture(scope="class")
    @classmethod
    def told(cls):
        """What progress was told while `trained` was trained."""
        return []

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, own_storages, trainer, task, told):
        def progress(done, total, note=""):
            told.append((done, total, note))

        return trainer.train(task, progress)

    def test_makes_a_model_that_a_configured_predictor_can_serve(self, trained, task):
        assert trained.predictor in predictors
        assert trained.class_names == task.class_names
        assert trained.reference
        predictors[trained.predictor].warm_up(servable(trained))

    def test_what_it_says_of_the_model_can_be_stored(self, trained):
        json.dumps([trained.manifest, trained.curves, list(trained.notes)], allow_nan=False)
        for values in trained.curves.values():
            assert all(isinstance(value, float) for value in values)

    def test_progress_never_goes_back_and_reaches_the_end(self, trained, told):
        shares = [done / total for done, total, _note in told]
        assert shares == sorted(shares)
        assert shares[-1] == 1
        assert all(note for _done, _total, note in told)

    def test_scores_every_example(self, trainer, trained, task):
        scores = trainer.predict_proba(servable(trained), task.examples)
        assert scores.shape == (len(task.examples), len(task.class_names))
        assert scores.sum(axis=1) == pytest.approx(1, abs=1e-4)

    def test_scores_of_what_it_learned_from_are_mostly_right(self, trainer, trained, task):
        scores = trainer.predict_proba(servable(trained), task.examples)
        right = [
            CLASS_NAMES[row.argmax()] == example.category
            for row, example in zip(scores, task.examples, strict=True)
        ]
        assert np.mean(right) > 0.8

    def test_scores_are_what_the_predictor_answers(self, trainer, trained, task):
        examples = task.examples[::4]
        pictures = [
            Picture(images.decode_stored(example.read()), b"", "image/png", example.sha256)
            for example in examples
        ]
        answers = predictors[trained.predictor].predict(pictures, servable(trained))
        scores = trainer.predict_proba(servable(trained), examples)
        for row, answer in zip(scores, answers, strict=True):
            assert row == pytest.approx([answer[name] for name in trained.class_names], abs=1e-4)

    def test_nothing_it_learned_from_is_more_like_an_example_than_itself(
        self, trainer, trained, task
    ):
        learned = {example.sha256 for example in task.examples if example.split == "train"}
        asked = next(example for example in task.examples if example.split == "train")
        found = trainer.nearest_samples(servable(trained), asked, learned, 4)
        # None: such a model keeps no vectors
        if found is not None:
            assert found.compared == len(learned)
            assert len(found.nearest) == 4
            assert found.nearest[0].sha256 == asked.sha256
            assert found.nearest[0].cosine == pytest.approx(1, abs=1e-5)

    def test_no_examples_give_no_scores(self, trainer, trained):
        assert trainer.predict_proba(servable(trained), []).shape == (0, 3)

    def test_an_unseen_example_without_a_picture_has_no_score(self, trainer, trained, task):
        examples = [make_example(0, 999, "test", kept=False), task.examples[0]]
        scores = trainer.predict_proba(servable(trained), examples)
        assert np.isnan(scores[0]).all()
        assert not np.isnan(scores[1]).any()

    def test_the_test_split_is_left_alone(self, trainer, task):
        def forbidden():
            raise AssertionError("looked at the test split")

        examples = [
            replace(example, read=forbidden) if example.split == "test" else example
            for example in task.examples
        ]
        assert trainer.train(replace(task, examples=examples, project="untouched"))

    def test_the_same_again_gives_the_same_model(self, trainer, trained, task):
        again = trainer.train(task)
        assert (again.reference, again.digest) == (trained.reference, trained.digest)

    def test_stops_when_it_is_asked_to(self, trainer, task):
        def stop(done, total, note=""):
            raise Cancelled

        with pytest.raises(Cancelled):
            trainer.train(task, stop)

    def test_one_category_is_refused_with_a_sentence(self, trainer, task):
        with pytest.raises(TrainingFailed, match="two categories") as caught:
            trainer.train(replace(task, class_names=("dark",)))
        assert isinstance(caught.value, DomainError)

    def test_names_the_backbones_that_a_run_may_choose(self, trainer):
        assert all(isinstance(name, str) for name in trainer.backbone_names())

    def test_its_configuration_is_checked(self, trainer):
        assert trainer.check() == []

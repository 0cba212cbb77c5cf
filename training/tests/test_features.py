import hashlib
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.progress import Cancelled
from predictions.predictors.local.engine import LiteRtEngine
from predictions.tests import tiny_model
from training.features import cache as features
from training.features import vectors
from training.features.cache import FeatureCache
from training.tests.trainer_contract import as_png

COLOURS = ("red", "lime", "blue", "white", "black")


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def pictures(names=COLOURS) -> dict:
    return {
        digest(name): (lambda name=name: as_png(Image.new("RGB", (20, 30), name))) for name in names
    }


def engine() -> LiteRtEngine:
    return LiteRtEngine(tiny_model.FILE)


def never() -> LiteRtEngine:
    raise AssertionError("nothing was to be computed")


@pytest.fixture(autouse=True)
def models_of_this_test(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    disk = {
        "BACKEND": "common.storages.DiskStorage",
        "OPTIONS": {"location": str(tmp_path / "kept")},
    }
    settings.STORAGES = settings.STORAGES | {"models": disk}


@pytest.fixture
def cache():
    return FeatureCache("backbone-1")


def shards(cache) -> list[Path]:
    return sorted(Path(cache.storage.path(cache.folder)).glob("*.npz"))


class TestFeatureCache:
    def test_gives_back_what_was_put(self, cache):
        matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
        cache.put([digest("a"), digest("b")], matrix)
        found = FeatureCache("backbone-1").get([digest("b"), digest("unknown")])
        assert list(found) == [digest("b")]
        assert found[digest("b")].tolist() == [3, 4, 5]

    def test_is_empty_at_first(self, cache):
        assert cache.get([digest("a")]) == {}

    def test_keeps_backbones_apart(self, cache):
        cache.put([digest("a")], np.ones((1, 3)))
        assert FeatureCache("backbone-2").get([digest("a")]) == {}

    def test_keeping_the_same_again_changes_nothing(self, cache):
        for _time in range(2):
            cache.put([digest("a")], np.ones((1, 3)))
        assert len(shards(cache)) == 1

    @pytest.mark.parametrize("matrix", [np.ones((2, 3)), np.ones(3), np.full((1, 3), np.nan)])
    def test_nonsense_is_not_kept(self, cache, matrix):
        with pytest.raises(ValueError, match="finite"):
            cache.put([digest("a")], matrix)
        assert shards(cache) == []

    @pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut off", b"x" * 500])
    def test_a_damaged_shard_is_ignored_and_told(self, cache, caplog, damage):
        cache.put([digest("a")], np.ones((1, 3)))
        (damaged,) = shards(cache)
        cache.put([digest("b")], np.ones((1, 3)) * 2)
        damaged.write_bytes(damage)
        with caplog.at_level(logging.WARNING):
            assert list(cache.get([digest("a"), digest("b")])) == [digest("b")]
        assert damaged.name in caplog.text

    def test_nothing_is_unpickled(self, cache, caplog):
        import io

        buffer = io.BytesIO()
        np.savez(buffer, samples=np.array([digest("a")], dtype=object), vectors=np.ones((1, 3)))
        name = hashlib.sha256(buffer.getvalue()).hexdigest()
        path = Path(cache.storage.path(cache.folder)) / f"{name}.npz"
        path.parent.mkdir(parents=True)
        path.write_bytes(buffer.getvalue())
        assert cache.get([digest("a")]) == {}
        assert "allow_pickle" in caplog.text

    def test_files_of_a_writer_at_work_are_not_read(self, cache):
        folder = Path(cache.storage.path(cache.folder))
        folder.mkdir(parents=True)
        (folder / ".writing-123.npz").write_bytes(b"half a shar")
        assert cache.get([digest("a")]) == {}


class TestExtract:
    def test_computes_what_is_missing_and_keeps_it(self, cache):
        result = vectors.load_or_extract(cache, pictures(), engine)
        assert result.extracted == len(COLOURS)
        assert result.vectors[digest("lime")] == pytest.approx([0, 1, 0], abs=1e-6)
        assert cache.get([digest("lime")])[digest("lime")] == pytest.approx([0, 1, 0], abs=1e-6)

    def test_the_second_time_nothing_is_extracted(self, cache):
        first = vectors.load_or_extract(cache, pictures(), engine)
        second = vectors.load_or_extract(cache, pictures(), never)
        assert second.extracted == 0
        assert second.vectors.keys() == first.vectors.keys()

    def test_only_new_pictures_are_looked_at(self, cache):
        vectors.load_or_extract(cache, pictures(("red", "blue")), engine)
        assert vectors.load_or_extract(cache, pictures(), engine).extracted == 3

    def test_a_sample_without_picture_is_found_by_its_vector_or_left_out(self, cache):
        cache.put([digest("seen")], np.ones((1, 3)))
        result = vectors.load_or_extract(
            cache, {digest("seen"): None, digest("unseen"): None}, never
        )
        assert list(result.vectors) == [digest("seen")]

    def test_an_unreadable_picture_is_left_out_and_told(self, cache):
        def lost():
            raise FileNotFoundError("red.jpg is gone")

        result = vectors.load_or_extract(cache, pictures() | {digest("red"): lost}, engine)
        assert result.unread == {digest("red"): "red.jpg is gone"}
        assert result.extracted == len(COLOURS) - 1

    def test_only_unreadable_pictures_give_nothing(self, cache):
        def lost():
            raise OSError

        assert vectors.load_or_extract(cache, {digest("red"): lost}, engine).vectors == {}

    def test_a_cancelled_extraction_keeps_what_it_computed(self, cache, monkeypatch):
        monkeypatch.setattr(vectors, "BATCH", 2)

        def stop_at_once(done, total, note=""):
            raise Cancelled

        with pytest.raises(Cancelled):
            vectors.load_or_extract(cache, pictures(), engine, stop_at_once)
        assert vectors.load_or_extract(cache, pictures(), engine).extracted == len(COLOURS) - 2

    def test_progress_counts_pictures_and_tells_a_rate(self, cache, monkeypatch):
        monkeypatch.setattr(vectors, "BATCH", 2)
        told = []
        vectors.load_or_extract(
            cache, pictures(), engine, lambda done, total, note="": told.append((done, total, note))
        )
        assert [(done, total) for done, total, _note in told] == [(2, 5), (4, 5), (5, 5)]
        assert "per second" in told[0][2]

    def test_long_work_is_kept_in_pieces(self, cache, monkeypatch):
        monkeypatch.setattr(vectors, "BATCH", 2)
        monkeypatch.setattr(vectors, "SHARD", 2)
        vectors.load_or_extract(cache, pictures(), engine)
        assert len(shards(cache)) == 3


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it is done."""


class TestCompacting:
    NAMES = tuple(f"picture {number}" for number in range(10))

    @pytest.fixture
    def scattered(self, cache) -> FeatureCache:
        """A shard for every vector, and each vector twice."""
        for place, name in enumerate(self.NAMES):
            following = self.NAMES[(place + 1) % len(self.NAMES)]
            cache.put(
                [digest(name), digest(following)],
                np.array([[place] * 3, [(place + 1) % 10] * 3], float),
            )
        return cache

    def assert_whole(self, cache) -> None:
        found = cache.get([digest(name) for name in self.NAMES])
        assert {sample: vector[0] for sample, vector in found.items()} == {
            digest(name): place for place, name in enumerate(self.NAMES)
        }

    def test_many_small_shards_become_one(self, scattered):
        assert len(shards(scattered)) == 10
        scattered.compact()
        assert len(shards(scattered)) == 1
        self.assert_whole(scattered)

    def test_again_changes_nothing(self, scattered):
        scattered.compact()
        before = shards(scattered)
        scattered.compact()
        assert shards(scattered) == before

    def test_a_few_are_left_as_they_are_and_large_ones_too(self, scattered, monkeypatch):
        monkeypatch.setattr(features, "SMALL_BYTES", 10)
        scattered.compact()
        assert len(shards(scattered)) == 10
        monkeypatch.undo()
        monkeypatch.setattr(features, "MIN_TO_MERGE", 11)
        scattered.compact()
        assert len(shards(scattered)) == 10

    def test_merged_shards_are_of_limited_size(self, scattered, monkeypatch):
        size = shards(scattered)[0].stat().st_size
        monkeypatch.setattr(features, "MERGED_BYTES", 5 * size)
        scattered.compact()
        assert len(shards(scattered)) == 2
        self.assert_whole(scattered)

    def test_an_extraction_ends_with_it(self, scattered):
        vectors.load_or_extract(scattered, pictures(), engine)
        assert len(shards(scattered)) == 1
        self.assert_whole(scattered)
        assert len(scattered.get([digest(colour) for colour in COLOURS])) == len(COLOURS)

    @pytest.mark.parametrize("survived", [0, 1, 5])
    def test_killed_between_the_steps_it_loses_nothing_and_is_finished_later(
        self, scattered, monkeypatch, survived
    ):
        """Before the first, the second and the sixth deletion."""
        delete = type(scattered.storage).delete
        calls: list[str] = []

        def dying(storage, name):
            if len(calls) == survived:
                raise Killed
            calls.append(name)
            delete(storage, name)

        with monkeypatch.context() as patch:
            patch.setattr(type(scattered.storage), "delete", dying)
            with pytest.raises(Killed):
                scattered.compact()
        assert len(shards(scattered)) == 11 - survived
        self.assert_whole(scattered)
        monkeypatch.setattr(features, "MIN_TO_MERGE", 2)
        scattered.compact()
        assert len(shards(scattered)) == 1
        self.assert_whole(scattered)

    def test_killed_while_it_writes_it_loses_nothing(self, scattered, monkeypatch):
        def dying(*arguments, **options):
            raise Killed

        monkeypatch.setattr(type(scattered.storage), "_write_whole", dying)
        with pytest.raises(Killed):
            scattered.compact()
        assert len(shards(scattered)) == 10
        self.assert_whole(scattered)

    def test_a_storage_that_refuses_does_not_spoil_the_extraction(
        self, scattered, monkeypatch, caplog
    ):
        def refuse(storage, name):
            raise OSError("read only")

        monkeypatch.setattr(type(scattered.storage), "delete", refuse)
        assert vectors.load_or_extract(scattered, pictures(), engine).extracted == len(COLOURS)
        assert "were not merged" in caplog.text

    def test_a_damaged_shard_is_neither_merged_nor_deleted(self, scattered):
        damaged = shards(scattered)[0]
        damaged.write_bytes(b"x" * 500)
        scattered.compact()
        assert damaged in shards(scattered)
        assert len(shards(scattered)) == 2
        self.assert_whole(scattered)

    def test_who_reads_while_another_merges_misses_nothing(self, scattered, monkeypatch):
        """The shards of the reader's listing are gone when it comes to read them."""
        listing = FeatureCache._shards
        other = FeatureCache("backbone-1")
        listed: list[str] = []

        def meanwhile(cache):
            names = listing(cache)
            if cache is scattered and not listed:
                listed.extend(names)
                other.compact()
            return names

        monkeypatch.setattr(FeatureCache, "_shards", meanwhile)
        self.assert_whole(scattered)
        assert len(listed) == 10

"""Feature vectors: what a frozen backbone says of a picture, computed once and kept.

The vectors of one backbone lie in `STORAGES["models"]` under `features/<backbone
digest>/<preprocessing digest>/` as shards: files that never change, each named by the SHA-256 of
its bytes. So processes may add at the same time, a crash leaves whole shards behind, and a damaged
one is noticed, told and computed again. Many small shards are merged at the end of an extraction:
the merged one is there before the others go, so a crash in between costs some room, no vector.
"""

import hashlib
import io
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.utils.translation import gettext as _

from common.progress import Progress, no_progress
from predictions.predictors.local import preprocessing, verified_files
from predictions.predictors.local.engine import LiteRtEngine
from training.data.examples import PictureReader, iter_pixels

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)

Vectors = dict[str, np.ndarray]

BATCH = 64
SHARD = 512  # vectors per shard while extracting: what a crash can cost
SMALL_BYTES = 2**20  # shards below this are worth merging ...
MIN_TO_MERGE = 8  # ... when there are so many of them
MERGED_BYTES = 2**23


class FeatureCache:
    """The kept vectors of one backbone (and of the one preprocessing), by the SHA-256 of the
    sample.
    """

    def __init__(self, backbone_digest: str) -> None:
        self.folder = f"features/{backbone_digest}/{preprocessing.DIGEST}"
        self.storage = storages["models"]

    def get(self, samples: Sequence[str]) -> Vectors:
        """Return the vectors that are kept, float32; a sample without one is left out."""
        missing = set(samples)
        found: Vectors = {}
        looked_at: set[str] = set()
        # Again until nothing is new: another process may merge the shards of a listing before they
        # are read
        while missing and (names := [name for name in self._shards() if name not in looked_at]):
            for name in names:
                found.update(self._read(name, missing))
            missing -= found.keys()
            looked_at.update(names)
        return found

    def put(self, samples: Sequence[str], matrix: np.ndarray) -> str:
        """Keep vectors, shape (N, features), for N samples, and return the name of their shard; ""
        for none.

        Keeping the same ones again changes nothing.

        Raises:
            ValueError: if the shapes do not fit, or a number is not finite.
        """
        if matrix.ndim != 2 or len(samples) != len(matrix) or not np.isfinite(matrix).all():
            raise ValueError(
                "Feature vectors must be finite, shape (N, features), one row per sample."
            )
        if not samples:
            return ""
        buffer = io.BytesIO()
        np.savez(buffer, samples=np.array(samples, dtype="S64"), vectors=matrix.astype(np.float32))
        data = buffer.getvalue()
        name = f"{hashlib.sha256(data).hexdigest()}.npz"
        if not self.storage.exists(f"{self.folder}/{name}"):
            self.storage.save(f"{self.folder}/{name}", ContentFile(data))
        return name

    def compact(self) -> None:
        """Merge small shards, if there are many. Safe to repeat, at any time, in several processes
        at once.
        """
        sizes = {name: self._size(name) for name in self._shards()}
        small = [name for name, size in sizes.items() if size < SMALL_BYTES]
        if len(small) < MIN_TO_MERGE:
            return
        group: list[str] = []
        for name in small:
            group.append(name)
            if sum(sizes[each] for each in group) >= MERGED_BYTES:
                self._merge(group)
                group = []
        self._merge(group)

    def _merge(self, names: Sequence[str]) -> None:
        """Write one shard with what these hold, then delete those that could be read."""
        vectors: Vectors = {}
        merged = []
        for name in names:
            if read := dict(self._read(name)):
                vectors = read | vectors
                merged.append(name)
        if len(merged) < 2:
            return
        samples = sorted(vectors)
        kept = self.put(samples, np.stack([vectors[sample] for sample in samples]))
        for name in merged:
            if name != kept:
                self.storage.delete(f"{self.folder}/{name}")

    def _size(self, name: str) -> int:
        try:
            return self.storage.size(f"{self.folder}/{name}")
        except FileNotFoundError:
            return SMALL_BYTES  # merged by another process

    def _shards(self) -> list[str]:
        try:
            _folders, names = self.storage.listdir(self.folder)
        except FileNotFoundError:
            return []
        stems = sorted(PurePosixPath(name).name for name in names)
        return [name for name in stems if name.endswith(".npz") and not name.startswith(".")]

    def _read(self, name: str, wanted: set[str] | None = None) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the vectors of a shard, or those that are wanted; none of one that is gone or
        damaged.
        """
        try:
            path = verified_files.verified_path(
                self.storage, f"{self.folder}/{name}", PurePosixPath(name).stem
            )
            with np.load(path, allow_pickle=False) as shard:
                samples = [sample.decode() for sample in shard["samples"].tolist()]
                rows = [
                    row for row, sample in enumerate(samples) if wanted is None or sample in wanted
                ]
                vectors = shard["vectors"] if rows else None
        except FileNotFoundError:
            return  # merged by another process, or its file system lists what was deleted
        except (verified_files.DigestMismatch, ValueError, KeyError, OSError) as error:
            logger.warning(
                "Feature shard %s/%s is ignored and computed again: %r", self.folder, name, error
            )
            return
        if vectors is not None:
            yield from ((samples[row], vectors[row]) for row in rows)


@dataclass
class ExtractionResult:
    """The vectors of some samples, and how they were come by."""

    vectors: Vectors
    extracted: int = 0
    seconds: float = 0.0
    unread: dict[str, str] = field(
        default_factory=dict
    )  # sample to the reason why its picture could not be read


def load_or_extract(
    cache: FeatureCache,
    pictures: Mapping[str, PictureReader | None],
    engine: Callable[[], LiteRtEngine],
    progress: Progress = no_progress,
) -> ExtractionResult:
    """Return the vectors of samples: those that are kept, and new ones of the others, which are
    kept then.

    Args:
        pictures: sample digest to what reads its picture; None where there is none.
        engine: makes the engine whose output `features` is wanted; only called when something is to
            be computed.
        progress: told in pictures.
    """
    result = ExtractionResult(cache.get(list(pictures)))
    waiting = {
        sample: read
        for sample, read in pictures.items()
        if read is not None and sample not in result.vectors
    }
    if not waiting:
        return result
    started = time.monotonic()
    shelf = _ShardBuffer(cache)
    try:
        for samples, matrix in extract_batches(waiting, engine(), result.unread, progress):
            shelf.add(samples, matrix)
            result.vectors.update(zip(samples, matrix, strict=True))
            result.extracted += len(samples)
    finally:
        shelf.put()  # whatever stopped the work: what is computed is kept
    _compact(cache)
    result.seconds = time.monotonic() - started
    return result


def extract_with_keras(network: "keras.Model", pixels: np.ndarray) -> np.ndarray:
    """Return the feature vectors that a Keras network gives, batch by batch and kept nowhere.

    Args:
        pixels: prepared, uint8, shape (N, S, S, 3); N is at least one.

    Returns:
        float32, shape (N, features).
    """
    starts = range(0, len(pixels), BATCH)
    parts = (
        network.predict_on_batch(pixels[start : start + BATCH].astype(np.float32))
        for start in starts
    )
    return np.concatenate([np.asarray(part) for part in parts])


def _compact(cache: FeatureCache) -> None:
    """Tidy up; what cannot be done now is done after another extraction."""
    try:
        cache.compact()
    except OSError as error:
        logger.warning("The feature shards in %s were not merged: %r", cache.folder, error)


class _ShardBuffer:
    """Gathers vectors until they are worth a shard."""

    def __init__(self, cache: FeatureCache) -> None:
        self.cache = cache
        self.samples: list[str] = []
        self.parts: list[np.ndarray] = []

    def add(self, samples: Sequence[str], matrix: np.ndarray) -> None:
        self.samples.extend(samples)
        self.parts.append(matrix)
        if len(self.samples) >= SHARD:
            self.put()

    def put(self) -> None:
        if self.samples:
            self.cache.put(self.samples, np.concatenate(self.parts))
        self.samples, self.parts = [], []


def extract_batches(
    pictures: Mapping[str, PictureReader],
    engine: LiteRtEngine,
    unread: dict[str, str],
    progress: Progress = no_progress,
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield (samples, their feature vectors) batch by batch: the next pictures are decoded while
    the engine works.

    A picture that cannot be read is left out and noted in `unread`.
    """
    started, done = time.monotonic(), 0
    with closing(iter_pixels(pictures, engine.input_size, ahead=BATCH)) as decoded:
        while batch := list(islice(decoded, BATCH)):
            unread.update((sample, reason) for sample, reason in batch if isinstance(reason, str))
            good = {sample: pixels for sample, pixels in batch if isinstance(pixels, np.ndarray)}
            if good:
                yield list(good), engine.run(np.stack(list(good.values())))["features"]
            done += len(batch)
            rate = done / max(time.monotonic() - started, 1e-6)
            progress(
                done,
                len(pictures),
                _("Looking at the pictures, %(rate)d per second") % {"rate": rate},
            )

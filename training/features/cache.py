"""The cache of feature vectors of frozen backbones: each is computed once.

The vectors of one backbone lie in `STORAGES["models"]` under `features/<backbone
digest>/<preprocessing digest>/` as shards: files that never change, each named by the SHA-256 of
its bytes. So processes may add at the same time, a crash leaves whole shards behind, and a damaged
one is noticed, logged and computed again. Many small shards are merged at the end of an extraction:
the merged one is there before the others go, so a crash in between costs some space, no vector.
"""

import hashlib
import io
import logging
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np
from django.core.files.base import ContentFile
from django.core.files.storage import storages

from predictions.predictors.local import preprocessing, verified_files
from predictions.predictors.local.preprocessing import Preparation

logger = logging.getLogger(__name__)

Vectors = dict[str, np.ndarray]

SHARD = 512  # vectors per shard while extracting: what a crash can cost
SMALL_BYTES = 2**20  # shards below this are worth merging ...
MIN_TO_MERGE = 8  # ... when there are so many of them
MERGED_BYTES = 2**23


class FeatureCache:
    """The cached vectors of one backbone, by the SHA-256 of the sample.

    `preparation` says how samples are read for it.
    """

    def __init__(
        self, backbone_digest: str, preparation: Preparation = preprocessing.CENTRED
    ) -> None:
        self.preparation = preparation
        self.folder = f"features/{backbone_digest}/{preparation.digest}"
        self.storage = storages["models"]

    def get(self, samples: Sequence[str]) -> Vectors:
        """Return the cached vectors, float32, of those samples that have one."""
        missing = set(samples)
        vectors: Vectors = {}
        read: set[str] = set()
        # Again until nothing is new: another process may merge the shards of a listing before they
        # are read
        while missing and (names := [name for name in self._shards() if name not in read]):
            for name in names:
                vectors.update(self._read(name, missing))
            missing -= vectors.keys()
            read.update(names)
        return vectors

    def iter_blocks(
        self, samples: Iterable[str], *, until: float = math.inf
    ) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yield the cached vectors of samples, each once, shard by shard: memory for one shard.

        Args:
            until: the monotonic time after which no further shard is read, for who cannot wait.
        """
        missing = set(samples)
        read: set[str] = set()
        # Again until nothing is new, as in `get`
        while missing and (names := [name for name in self._shards() if name not in read]):
            for name in names:
                if time.monotonic() > until:
                    return
                read.add(name)
                if found := dict(self._read(name, missing)):
                    missing -= found.keys()
                    yield list(found), np.stack(list(found.values()))

    def put(self, samples: Sequence[str], matrix: np.ndarray) -> str:
        """Keep the vectors of N samples, shape (N, features); return their shard's name, or "".

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
        # Digests as bytes: as text, NumPy would take four times the space
        buffer = io.BytesIO()
        np.savez(buffer, samples=np.array(samples, dtype="S64"), vectors=matrix.astype(np.float32))
        data = buffer.getvalue()
        name = f"{hashlib.sha256(data).hexdigest()}.npz"
        # The name says what is in it, so a file of that name holds the same
        if not self.storage.exists(f"{self.folder}/{name}"):
            self.storage.save(f"{self.folder}/{name}", ContentFile(data))
        return name

    def compact(self) -> None:
        """Merge small shards, if there are many; safe to repeat, in several processes at once."""
        small: dict[str, int] = {}
        for name in self._shards():
            try:
                size = self.storage.size(f"{self.folder}/{name}")
            except FileNotFoundError:
                continue  # merged by another process
            if size < SMALL_BYTES:
                small[name] = size
        if len(small) < MIN_TO_MERGE:
            return
        group: list[str] = []
        for name in small:
            group.append(name)
            if sum(small[each] for each in group) >= MERGED_BYTES:
                self._merge(group)
                group = []
        self._merge(group)

    def _merge(self, names: Sequence[str]) -> None:
        """Write one shard with what these hold, then delete those that could be read."""
        vectors: Vectors = {}
        merged = []
        for name in names:
            if shard := dict(self._read(name)):
                vectors = shard | vectors
                merged.append(name)
        # Nothing to merge: the others are gone, or damaged
        if len(merged) < 2:
            return
        # Sorted, so that two processes that merge the same shards write the same file
        samples = sorted(vectors)
        kept = self.put(samples, np.stack([vectors[sample] for sample in samples]))
        for name in merged:
            # One of them may have held all the vectors, and then that is the merged one
            if name != kept:
                self.storage.delete(f"{self.folder}/{name}")

    def _shards(self) -> list[str]:
        try:
            # Before the first shard, a disk has no such folder
            _folders, names = self.storage.listdir(self.folder)
        except FileNotFoundError:
            return []
        stems = sorted(PurePosixPath(name).name for name in names)
        return [name for name in stems if name.endswith(".npz") and not name.startswith(".")]

    def _read(self, name: str, wanted: set[str] | None = None) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the (wanted) vectors of a shard; none of one that is gone or damaged."""
        try:
            path = verified_files.verified_path(
                self.storage, f"{self.folder}/{name}", PurePosixPath(name).stem
            )
            with np.load(path, allow_pickle=False) as shard:
                samples = [sample.decode() for sample in shard["samples"].tolist()]
                rows = [
                    row for row, sample in enumerate(samples) if wanted is None or sample in wanted
                ]
                # A copy of these rows: a view of one would keep the whole shard in memory
                vectors = shard["vectors"][rows] if rows else None
        except FileNotFoundError:
            return  # merged by another process, or its file system lists what was deleted
        except (verified_files.DigestMismatch, ValueError, KeyError, OSError) as error:
            logger.warning(
                "Feature shard %s/%s is ignored and computed again: %r", self.folder, name, error
            )
            return
        if vectors is not None:
            yield from zip((samples[row] for row in rows), vectors, strict=True)

"""Feature vectors: what a frozen backbone says of a picture, computed once and kept.

The vectors of one backbone lie in `STORAGES["models"]` under `features/<backbone digest>/<preprocessing digest>/` as
shards: files that are only ever added, each named by the SHA-256 of its bytes. So processes may add at the same time,
a crash leaves whole shards behind, and a damaged one is noticed, told and computed again.
"""

import hashlib
import io
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.utils.translation import gettext as _
from PIL import Image

from classifr.common.errors import DomainError
from classifr.common.progress import Progress, silent
from predictions.predictors import local_files, preprocessing
from predictions.predictors.engine import Engine

logger = logging.getLogger(__name__)

Vectors = dict[str, np.ndarray]
Read = Callable[[], Image.Image]
UNREADABLE = (OSError, DomainError)  # what reading one stored picture may raise; the others go on

BATCH = 64
SHARD = 512  # vectors per shard while extracting: what a crash can cost


class FeatureCache:
    """The kept vectors of one backbone (and of the one preprocessing), by the SHA-256 of the sample."""

    def __init__(self, backbone_digest: str) -> None:
        self.folder = f"features/{backbone_digest}/{preprocessing.DIGEST}"
        self.storage = storages["models"]

    def get(self, samples: Sequence[str]) -> Vectors:
        """Return the vectors that are kept, float32; a sample without one is left out."""
        missing = set(samples)
        found: Vectors = {}
        for name in self._shards():
            if not missing:
                break
            for sample, vector in self._read(name, missing):
                found[sample] = vector
            missing -= found.keys()
        return found

    def put(self, samples: Sequence[str], matrix: np.ndarray) -> None:
        """Keep vectors, shape (N, features), for N samples. Keeping the same ones again changes nothing.

        Raises:
            ValueError: if the shapes do not fit, or a number is not finite.
        """
        if matrix.ndim != 2 or len(samples) != len(matrix) or not np.isfinite(matrix).all():
            raise ValueError("Feature vectors must be finite, shape (N, features), one row per sample.")
        if not samples:
            return
        buffer = io.BytesIO()
        np.savez(buffer, samples=np.array(samples, dtype="S64"), vectors=matrix.astype(np.float32))
        data = buffer.getvalue()
        name = f"{self.folder}/{hashlib.sha256(data).hexdigest()}.npz"
        if not self.storage.exists(name):
            self.storage.save(name, ContentFile(data))

    def _shards(self) -> list[str]:
        try:
            _folders, names = self.storage.listdir(self.folder)
        except FileNotFoundError:
            return []
        stems = sorted(PurePosixPath(name).name for name in names)
        return [name for name in stems if name.endswith(".npz") and not name.startswith(".")]

    def _read(self, name: str, wanted: set[str]) -> Iterator[tuple[str, np.ndarray]]:
        try:
            path = local_files.verified(self.storage, f"{self.folder}/{name}", PurePosixPath(name).stem)
            with np.load(path, allow_pickle=False) as shard:
                samples = [sample.decode() for sample in shard["samples"].tolist()]
                rows = [row for row, sample in enumerate(samples) if sample in wanted]
                vectors = shard["vectors"] if rows else None
        except (local_files.Tampered, FileNotFoundError, ValueError, KeyError, OSError) as error:
            logger.warning("Feature shard %s/%s is ignored and computed again: %r", self.folder, name, error)
            return
        if vectors is not None:
            yield from ((samples[row], vectors[row]) for row in rows)


@dataclass
class Extraction:
    """The vectors of some samples, and how they were come by."""

    vectors: Vectors
    extracted: int = 0
    seconds: float = 0.0
    unread: dict[str, str] = field(default_factory=dict)  # sample to the reason why its picture could not be read


def extract(
    cache: FeatureCache, pictures: Mapping[str, Read | None], engine: Callable[[], Engine], progress: Progress = silent
) -> Extraction:
    """Return the vectors of samples: those that are kept, and new ones of the others, which are kept then.

    Args:
        pictures: sample digest to what reads its picture; None where there is none.
        engine: makes the engine whose output `features` is wanted; only called when something is to be computed.
        progress: told in pictures.
    """
    result = Extraction(cache.get(list(pictures)))
    waiting = {sample: read for sample, read in pictures.items() if read is not None and sample not in result.vectors}
    if not waiting:
        return result
    started = time.monotonic()
    shelf = _Shelf(cache)
    try:
        for samples, matrix in compute(waiting, engine(), result.unread, progress):
            shelf.add(samples, matrix)
            result.vectors.update(zip(samples, matrix, strict=True))
            result.extracted += len(samples)
    finally:
        shelf.put()  # whatever stopped the work: what is computed is kept
    result.seconds = time.monotonic() - started
    return result


class _Shelf:
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


def compute(
    pictures: Mapping[str, Read],
    engine: Engine,
    unread: dict[str, str],
    progress: Progress = silent,
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield (samples, their feature vectors) batch by batch: the next pictures are decoded while the engine works.

    A picture that cannot be read is left out and noted in `unread`.
    """
    samples = list(pictures)
    batches = [samples[start : start + BATCH] for start in range(0, len(samples), BATCH)]
    started = time.monotonic()
    done = 0

    def pixels_of(sample: str) -> np.ndarray | str:
        try:
            return preprocessing.prepare(pictures[sample](), engine.input_size)
        except UNREADABLE as error:
            return str(error) or type(error).__name__

    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode") as decoders:
        ahead = [decoders.submit(pixels_of, sample) for sample in samples[:BATCH]]
        try:
            for place, batch in enumerate(batches):
                decoded = [future.result() for future in ahead]
                following = batches[place + 1] if place + 1 < len(batches) else []
                ahead = [decoders.submit(pixels_of, sample) for sample in following]
                good = [sample for sample, pixels in zip(batch, decoded, strict=True) if isinstance(pixels, np.ndarray)]
                unread.update((s, reason) for s, reason in zip(batch, decoded, strict=True) if isinstance(reason, str))
                if good:
                    pixels = np.stack([pixels for pixels in decoded if isinstance(pixels, np.ndarray)])
                    yield good, engine.run(pixels)["features"]
                done += len(batch)
                rate = done / max(time.monotonic() - started, 1e-6)
                progress(done, len(samples), _("Looking at the pictures, %(rate)d per second") % {"rate": rate})
        finally:
            for future in ahead:
                future.cancel()

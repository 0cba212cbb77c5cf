"""The feature vectors of pictures: from the cache, from an engine or from a Keras network."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from django.utils.translation import gettext as _

from common.progress import Progress, StageNote, no_progress
from predictions.predictors.local import preprocessing
from predictions.predictors.local.engine import LiteRtEngine
from predictions.predictors.local.preprocessing import Preparation
from training.data.examples import PictureReader, iter_pixels
from training.features.cache import SHARD, FeatureCache, Vectors

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)

BATCH = 64


@dataclass
class ExtractionResult:
    """The vectors of some samples, and what it took to get them."""

    vectors: Vectors
    extracted: int = 0
    seconds: float = 0.0
    # Sample to the reason why its picture could not be read
    unread: dict[str, str] = field(default_factory=dict)


def load_or_extract(
    cache: FeatureCache,
    pictures: Mapping[str, PictureReader | None],
    engine: Callable[[], LiteRtEngine],
    progress: Progress = no_progress,
) -> ExtractionResult:
    """Return the vectors of samples: cached ones, and new ones, which are cached then.

    Args:
        pictures: sample digest to what reads its picture; None where there is none.
        engine: makes the engine, which has an output `features`; only called if a vector has to be
            computed.
        progress: counts pictures.
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
    buffer = _ShardBuffer(cache)
    try:
        batches = extract_batches(
            waiting, engine(), result.unread, progress, preparation=cache.preparation
        )
        for samples, matrix in batches:
            buffer.add(samples, matrix)
            result.vectors.update(zip(samples, matrix, strict=True))
            result.extracted += len(samples)
    finally:
        buffer.put()  # whatever stopped the work: what is computed is kept
    try:
        cache.compact()
    except OSError as error:  # small shards cost time, no vector; the next extraction tries again
        logger.warning("The feature shards in %s were not merged: %r", cache.folder, error)
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


def extract_batches(
    pictures: Mapping[str, PictureReader],
    engine: LiteRtEngine,
    unread: dict[str, str],
    progress: Progress = no_progress,
    *,
    preparation: Preparation = preprocessing.CENTRED,
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield samples and their vectors in batches; the next pictures are decoded meanwhile.

    A picture that cannot be read is left out and noted in `unread`.
    """
    started, done = time.monotonic(), 0
    # Closed also when the run is cancelled, so that no picture is decoded for nobody
    size = engine.input_size
    with closing(iter_pixels(pictures, size, ahead=BATCH, preparation=preparation)) as decoded:
        while batch := list(islice(decoded, BATCH)):
            unread.update((sample, reason) for sample, reason in batch if isinstance(reason, str))
            good = {sample: pixels for sample, pixels in batch if isinstance(pixels, np.ndarray)}
            if good:
                yield list(good), engine.run(np.stack(list(good.values())))["features"]
            done += len(batch)
            # No division by zero on a clock that has not moved
            rate = done / max(time.monotonic() - started, 1e-6)
            note = _("Looking at the pictures, %(rate)d per second") % {"rate": rate}
            progress(done, len(pictures), StageNote(note, stage="features"))


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

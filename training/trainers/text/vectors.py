"""The feature vectors of texts: from the cache, or from an encoder."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from django.utils.translation import gettext as _

from common.media import texts
from common.progress import Progress, StageNote, no_progress
from predictions.predictors.local.preprocessing import Preparation
from predictions.predictors.text.encoders import Encoder
from training.data.examples import UNREADABLE, Example
from training.features.cache import SHARD, FeatureCache, Vectors

logger = logging.getLogger(__name__)

PREPARATION = Preparation("text-nfkc", "NFKC, the whole text")
BATCH = 64


@dataclass
class ReadTexts:
    """The texts of examples by sample, and why others could not be read."""

    texts: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


def read_texts(examples: Sequence[Example], progress: Progress = no_progress) -> ReadTexts:
    """Read the texts of examples that were kept."""
    found = ReadTexts()
    for done, example in enumerate(examples, start=1):
        if example.read is None:
            continue
        try:
            found.texts[example.sha256] = texts.decode_stored(example.read())
        except UNREADABLE as error:
            found.unread[example.sha256] = str(error) or type(error).__name__
        if done % BATCH == 0 or done == len(examples):
            progress(done, len(examples), _("Reading the texts"))
    return found


def load_or_encode(
    encoder: Encoder, wanted: Mapping[str, str], progress: Progress = no_progress
) -> Vectors:
    """Return the vectors of texts by sample: cached ones, and new ones, which are cached then."""
    cache = FeatureCache(encoder.digest, PREPARATION)
    vectors = cache.get(list(wanted))
    waiting = [sample for sample in wanted if sample not in vectors]
    for start in range(0, len(waiting), SHARD):
        shard = waiting[start : start + SHARD]
        parts = []
        for first in range(0, len(shard), BATCH):
            note = StageNote(_("Reading the texts"), stage="features")
            progress(start + first, len(waiting), note)
            parts.append(encoder.encode([wanted[each] for each in shard[first : first + BATCH]]))
        matrix = np.concatenate(parts)
        cache.put(shard, matrix)
        vectors.update(zip(shard, matrix, strict=True))
    if waiting:
        try:
            cache.compact()
        except OSError as error:  # small shards cost time, no vector
            logger.warning("The shards in %s were not merged: %r", cache.folder, error)
    return vectors

"""What training tells the review of how alike samples look: the vectors that it has cached."""

import time
from collections.abc import Sequence

import numpy as np

from predictions import registry
from predictions.models import Project
from predictions.predictors.local import preprocessing
from review import likeness
from training.features.cache import FeatureCache

PATIENCE_SECONDS = 0.5  # somebody waits for the page, and a cache may be large


@likeness.vector_source
def cached_vectors(project: Project, digests: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the cached vectors of samples, by the frozen backbone of the live model."""
    version = registry.live_version(project)
    backbone = version.manifest.get("backbone") if version else None
    if version is None or not backbone or not backbone.get("frozen"):
        return {}
    preparation = preprocessing.preparation_of(version.manifest) or preprocessing.CENTRED
    cache = FeatureCache(backbone["digest"], preparation)
    found: dict[str, np.ndarray] = {}
    for samples, rows in cache.iter_blocks(digests, until=time.monotonic() + PATIENCE_SECONDS):
        found.update(zip(samples, rows, strict=True))
    return found

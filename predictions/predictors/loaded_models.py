"""Models in memory: each is loaded once per process, and those used last stay."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from prometheus_client import Counter

from predictions.predictors.base import ModelRef, PredictorError, PredictorUnavailable

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 10.0

loads = Counter("classifr_model_loads", "Models that were loaded, or could not be.", ["outcome"])

Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class _Failure:
    error: PredictorError | PredictorUnavailable
    since: float

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.since < RETRY_AFTER_SECONDS

    def again(self) -> PredictorError | PredictorUnavailable:
        """Return a new error of the same words."""
        # Raising one exception in many threads would mix up their tracebacks.
        return type(self.error)(self.error.message)


class LoadedModels(Generic[Loaded]):
    """What a predictor has loaded, by model; thread-safe.

    A model is loaded at its first use, and the `most` last used ones stay. A model that cannot be
    loaded gives the same error at once for some seconds before loading is tried again, so that a
    storm of requests does not read a broken file over and over.
    """

    def __init__(self, load: Callable[[ModelRef], Loaded], *, most: int) -> None:
        self._load_one = load
        self._most = most
        self._models: OrderedDict[ModelRef, Loaded] = OrderedDict()
        self._failures: dict[ModelRef, _Failure] = {}
        self._lock = threading.Lock()
        self._loading = threading.Lock()

    def __getitem__(self, model: ModelRef) -> Loaded:
        """Return a model, loaded. Raises what loading it raises."""
        if loaded := self._find(model):
            return loaded
        # One at a time: of many requests for a model that is not there yet, one loads it.
        with self._loading:
            if loaded := self._find(model):  # another thread was faster
                return loaded
            if (failure := self._failures.get(model)) and failure.is_fresh:
                raise failure.again() from failure.error
            return self._load(model)

    def in_memory(self) -> list[ModelRef]:
        """Return which models are loaded, the one used last at the end."""
        with self._lock:
            return list(self._models)

    def _find(self, model: ModelRef) -> Loaded | None:
        with self._lock:
            if loaded := self._models.get(model):
                self._models.move_to_end(model)
            return loaded

    def _load(self, model: ModelRef) -> Loaded:
        """Load a model and make room for it. Only called under the loading lock."""
        started = time.monotonic()
        try:
            loaded = self._load_one(model)
        except (PredictorError, PredictorUnavailable) as error:
            loads.labels("failed").inc()
            logger.warning("Model %s cannot be loaded: %s", model.reference, error)
            # Old ones are dropped by the way, or models deleted long ago would pile up here.
            self._failures = {
                other: failure for other, failure in self._failures.items() if failure.is_fresh
            }
            self._failures[model] = _Failure(error, time.monotonic())
            raise
        loads.labels("loaded").inc()
        self._failures.pop(model, None)
        with self._lock:
            self._models[model] = loaded
            while len(self._models) > self._most:
                self._models.popitem(last=False)
        logger.info(
            "Model %s loaded in %.0f ms", model.reference, (time.monotonic() - started) * 1000
        )
        return loaded

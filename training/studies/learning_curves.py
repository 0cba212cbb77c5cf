"""What the backbones are worth on somebody's pictures: learning curves of a head on each.

A draw takes N pictures of every category to learn from and measures on all the others. Draws of the
same number are the same for every backbone, and the pictures of a smaller N are among those of a
larger one. Of the N, a fifth chooses the strength of the regularisation and the temperature; then
the head learns from all N with that strength.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from django.conf import settings

from common.errors import DomainError
from common.media import images
from common.parallel import parallel_map
from common.processes import usable_core_count
from common.progress import Progress, no_progress
from common.storages import DiskStorage
from predictions.predictors.local import heads
from predictions.predictors.local.engine import LiteRtEngine
from training.backbones.base import Backbone
from training.data.examples import PictureReader
from training.evaluation import calibration
from training.features.cache import FeatureCache
from training.features.vectors import load_or_extract
from training.trainers.local import export, head

HELD_BACK = 5  # one in so many of a draw's pictures chooses and calibrates


class StudyRefused(Exception):
    """These pictures cannot answer the question; the message says why."""


@dataclass(frozen=True)
class LabelledPictures:
    """Pictures that were checked and kept as uploads are, each under its SHA-256."""

    names: tuple[str, ...]
    samples: tuple[str, ...]
    labels: np.ndarray
    left_out: tuple[str, ...]
    folder: Path

    def read(self, sample: str) -> PictureReader:
        """Return what reads one picture."""
        return (self.folder / sample).read_bytes

    def smallest(self) -> tuple[str, int]:
        """Return the name and the size of the smallest category."""
        counts = np.bincount(self.labels, minlength=len(self.names))
        return self.names[int(counts.argmin())], int(counts.min())


@dataclass(frozen=True)
class SampleDraw:
    """Rows to learn from, those of them that are held back at first, and rows to measure on."""

    learn: np.ndarray
    held: np.ndarray
    ask: np.ndarray


@dataclass(frozen=True)
class DrawFeatures:
    """The feature vectors of all pictures for one draw.

    And, of a network that learned for this draw: its CPU seconds, and its own head if it has one.
    """

    vectors: np.ndarray
    seconds: float = 0.0
    own_head: heads.Head | None = None


@dataclass(frozen=True)
class DrawResult:
    """How the head of one draw did: accuracy, calibration error, and CPU seconds of the steps.

    `network_seconds` is what a network took to learn for this draw alone; 0 where it is frozen.
    """

    accuracy: float
    calibration_error: float
    head_seconds: float
    calibration_seconds: float = 0.0
    network_seconds: float = 0.0


@dataclass(frozen=True)
class LearningCurve:
    """A backbone's answers by the number of pictures per category.

    `milliseconds` of CPU per picture for reading it from disk, scaling it and the compiled network;
    None where the network learns anew for every draw.
    """

    backbone: str
    features: int
    milliseconds: float | None
    answers: dict[int, list[DrawResult]]


@dataclass(frozen=True)
class CollectionVectors:
    """The feature vectors of a collection, (N, features) in its order, and the time of each."""

    matrix: np.ndarray
    milliseconds: float


def collect_pictures(
    directory: Path, folder: Path, progress: Progress = no_progress, *, fewest: int = 2
) -> LabelledPictures:
    """Check the pictures of a folder of categories, and keep them in another folder.

    What is no picture, and a picture that was there before, is left out and listed.

    Raises:
        StudyRefused: there is no such folder, or it has fewer than `fewest` categories with
            pictures.
    """
    if not directory.is_dir():
        raise StudyRefused(
            f"There is no folder {directory}. Name one that holds a folder of pictures per "
            "category."
        )
    files = list(_files(directory))
    owners: dict[str, str] = {}
    left_out = []
    # In their order: which of two equal pictures is the duplicate must not depend on threads
    kept_files = parallel_map(partial(_keep, folder=folder), files)
    for done, (path, kept) in enumerate(zip(files, kept_files, strict=True), start=1):
        progress(done, len(files), "Checking the pictures")
        shown = path.relative_to(directory)
        if isinstance(kept, DomainError | OSError):
            left_out.append(f"{shown}: {kept}")
        elif kept in owners:
            left_out.append(f"{shown}: the same picture was there before, under {owners[kept]}.")
        else:
            owners[kept] = shown.parts[0]
    names = tuple(sorted(set(owners.values())))
    if len(names) < fewest:
        if fewest == 1:
            raise StudyRefused(f"{directory} holds no folder with pictures in it.")
        raise StudyRefused(
            f"{directory} holds {len(names)} categories with pictures; to tell apart there must be "
            "two. It needs one folder per category with pictures in it."
        )
    labels = np.array([names.index(name) for name in owners.values()])
    return LabelledPictures(names, tuple(owners), labels, tuple(left_out), folder)


def usable_sizes(collection: LabelledPictures, per_class: Sequence[int]) -> list[int]:
    """Return those numbers of pictures that leave every category at least one to measure on.

    Raises:
        StudyRefused: none does.
    """
    name, size = collection.smallest()
    if usable := sorted({number for number in per_class if number < size}):
        return usable
    raise StudyRefused(
        f"There are too few pictures: the smallest category, {name}, has {size}, and one must be "
        "left to ask about. Add pictures, leave this category out, or learn from fewer than "
        f"{min(size, *per_class)} per category."
    )


def draw_sample(labels: np.ndarray, per_class: int, seed: int) -> SampleDraw:
    """Return the rows of one draw; the same for the same seed."""
    rng = np.random.default_rng(seed)
    # One order per category: every number takes its beginning, so small draws lie in large ones
    orders = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    held = per_class // HELD_BACK
    return SampleDraw(
        learn=np.sort(np.concatenate([order[:per_class] for order in orders])),
        held=np.sort(np.concatenate([order[:held] for order in orders])),
        ask=np.sort(np.concatenate([order[per_class:] for order in orders])),
    )


def frozen_curve(
    backbone: Backbone,
    collection: LabelledPictures,
    per_class: Sequence[int],
    seeds: int,
    progress: Progress = no_progress,
) -> LearningCurve:
    """Return the learning curve of a frozen backbone."""
    vectors = collection_vectors(backbone, collection, progress)
    results = evaluate_draws(
        lambda drawn, seed: DrawFeatures(vectors.matrix), collection, per_class, seeds, progress
    )
    return LearningCurve(backbone.name, vectors.matrix.shape[1], vectors.milliseconds, results)


def collection_vectors(
    backbone: Backbone, collection: LabelledPictures, progress: Progress = no_progress
) -> CollectionVectors:
    """Return the vectors of a collection by a backbone; they are cached beside the pictures."""
    progress(0, 1, "Compiling the backbone")
    engine = LiteRtEngine(export.export_backbone(backbone), threads=usable_core_count())
    cache = FeatureCache(backbone.digest, backbone.preparation)
    # Not among the server's models: it goes with the temporary folder
    cache.storage = DiskStorage(location=collection.folder / "features")
    pictures = {sample: collection.read(sample) for sample in collection.samples}
    started = time.process_time()
    extraction = load_or_extract(cache, pictures, lambda: engine, progress)
    milliseconds = 1000 * (time.process_time() - started) / max(extraction.extracted, 1)
    matrix = np.stack([extraction.vectors[sample] for sample in collection.samples])
    return CollectionVectors(matrix, milliseconds)


def evaluate_draws(
    learn: Callable[[SampleDraw, int], DrawFeatures],
    collection: LabelledPictures,
    per_class: Sequence[int],
    seeds: int,
    progress: Progress,
) -> dict[int, list[DrawResult]]:
    """Learn and measure, draw by draw; `learn` gives the features for a draw and a seed."""
    results: dict[int, list[DrawResult]] = {}
    total = len(per_class) * seeds
    for number in per_class:
        for seed in range(seeds):
            progress(sum(map(len, results.values())), total, f"Learning from {number} per category")
            drawn = draw_sample(collection.labels, number, seed)
            results.setdefault(number, []).append(_answer(learn(drawn, seed), collection, drawn))
    progress(total, total, "Learned")
    return results


def _answer(features: DrawFeatures, collection: LabelledPictures, drawn: SampleDraw) -> DrawResult:
    labels, vectors = collection.labels, features.vectors
    # CPU time: wall time says more about what else the machine does
    started = time.process_time()
    fitted = features.own_head or fit_draw_head(vectors, labels, drawn, len(collection.names))
    head_seconds = time.process_time() - started
    started = time.process_time()
    # Once more, to know what it takes
    head.fit_temperature(fitted.logits(vectors[drawn.held]), labels[drawn.held])
    calibration_seconds = time.process_time() - started
    probabilities, truth = fitted.probabilities(vectors[drawn.ask]), labels[drawn.ask]
    right = probabilities.argmax(axis=1) == truth
    bins = calibration.reliability_bins(probabilities.max(axis=1), right)
    return DrawResult(
        accuracy=float(right.mean()),
        calibration_error=calibration.expected_calibration_error(bins),
        head_seconds=head_seconds,
        calibration_seconds=calibration_seconds,
        network_seconds=features.seconds,
    )


def fit_draw_head(
    vectors: np.ndarray, labels: np.ndarray, drawn: SampleDraw, classes: int
) -> heads.Head:
    """Return a draw's head: all of it learns, what is held back regularises and calibrates."""
    chosen = fit_first_head(vectors, labels, drawn, classes)
    held = vectors[drawn.held], labels[drawn.held]
    whole = head.fit_head(
        (vectors[drawn.learn], labels[drawn.learn]), held, classes, grid=[chosen.l2]
    )
    # With the first temperature: the second was fitted on samples that the weights learned from
    return heads.Head(whole.head.kernel, whole.head.bias, chosen.head.temperature)


def fit_first_head(
    vectors: np.ndarray, labels: np.ndarray, drawn: SampleDraw, classes: int
) -> head.FittedHead:
    """Return what is learned from a draw without what is held back to validate."""
    first = np.setdiff1d(drawn.learn, drawn.held)
    return head.fit_head(
        (vectors[first], labels[first]), (vectors[drawn.held], labels[drawn.held]), classes
    )


def _files(directory: Path) -> Iterator[Path]:
    """Yield the files in every category's folder and below, by name, without hidden ones."""
    for folder in sorted(directory.iterdir()):
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path


def _keep(path: Path, folder: Path) -> str | DomainError | OSError:
    """Store one picture as an upload is stored; return its digest, or why it was refused."""
    try:
        with path.open("rb") as file:
            picture = images.decode_upload(file.read(settings.UPLOAD_MAX_BYTES + 1), least_side=1)
        (folder / picture.sha256).write_bytes(picture.data)
    except (DomainError, OSError) as error:
        return error
    return picture.sha256

"""How many labels it saves to label first what is proposed, instead of pictures drawn at random.

    python bench/active_learning.py DIR [--target 100] [--draws 30] [--vectors FILE.npz] [--check]

DIR holds a folder of pictures per category. In each draw a third of the pictures is put aside to
measure on, and the rest is a pool without labels. Every method labels it in rounds; the first is at
random for those that need a model, and a head on the vectors of `lite0` learns from what is
labelled. Saved is how many labels fewer than `--target` random ones a method needs until it has
their accuracy, read off the mean curves; the interval is the bootstrap's over the draws (95 %).
`--check` fails unless what is used, `typiclust+margin`, saves 15 % with an interval above 0.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")

import django
import numpy as np

django.setup()

from training import backbones  # noqa: E402
from training.pool import ranking  # noqa: E402
from training.studies import learning_curves  # noqa: E402
from training.trainers.local import head  # noqa: E402

USED = "typiclust+margin"
AIM = 0.15
MORE = 1.6  # methods may take so many times the target, so that a loss is seen as well
RESAMPLES = 2000

# (vectors at unit length, is labelled, probabilities or None, how many, rng) -> rows
Method = Callable[[np.ndarray, np.ndarray, np.ndarray | None, int, np.random.Generator], list[int]]


def at_random(vectors, labelled, probabilities, count, rng) -> list[int]:
    return rng.permutation(np.flatnonzero(~labelled))[:count].tolist()


def _lowest(scores: np.ndarray, labelled: np.ndarray, count: int) -> list[int]:
    open_rows = np.flatnonzero(~labelled)
    return open_rows[np.argsort(scores[open_rows], kind="stable")[:count]].tolist()


def margin(vectors, labelled, probabilities, count, rng) -> list[int]:
    return _lowest(ranking.margins(probabilities), labelled, count)


def least_confidence(vectors, labelled, probabilities, count, rng) -> list[int]:
    return _lowest(probabilities.max(axis=1), labelled, count)


def entropy(vectors, labelled, probabilities, count, rng) -> list[int]:
    return _lowest(-ranking.entropies(probabilities), labelled, count)


def typiclust(vectors, labelled, probabilities, count, rng) -> list[int]:
    return ranking.typical_first(vectors, labelled, count, rng)


def typiclust_and_margin(vectors, labelled, probabilities, count, rng) -> list[int]:
    known = None if probabilities is None else ranking.margins(probabilities)
    return ranking.most_instructive_first(vectors, labelled, known, count, rng)


def margin_of_clusters(vectors, labelled, probabilities, count, rng) -> list[int]:
    """The smallest margin of each cluster without a label, by turns (Citovsky et al. 2021)."""
    if probabilities is None:
        return ranking.typical_first(vectors, labelled, count, rng)
    wanted = min(int(labelled.sum()) + count, len(vectors) // ranking.MIN_CLUSTER + 1)
    clusters = ranking.cluster(vectors, wanted, rng)
    labels = np.bincount(clusters[labelled], minlength=clusters.max() + 1)
    sizes = np.bincount(clusters, minlength=clusters.max() + 1)
    order = np.argsort(ranking.margins(probabilities), kind="stable")
    queues = [
        [row for row in order if clusters[row] == place and not labelled[row]]
        for place in np.lexsort((-sizes, labels))
    ]
    in_turn = [
        queue[turn]
        for turn in range(max(map(len, queues)))
        for queue in queues
        if turn < len(queue)
    ]
    return in_turn[:count]


def badge(vectors, labelled, probabilities, count, rng) -> list[int]:
    """k-means++ on what each picture would change in the head (Ash et al. 2020).

    The gradient is (p - the most probable class) times the vector; of the outer product only
    lengths and products are needed.
    """
    residual = probabilities.copy()
    residual[np.arange(len(residual)), probabilities.argmax(axis=1)] -= 1
    open_rows = np.flatnonzero(~labelled)
    lengths = np.square(residual).sum(axis=1) * np.square(vectors).sum(axis=1)
    chosen = [int(open_rows[lengths[open_rows].argmax()])]
    squared = np.full(len(vectors), np.inf)
    while len(chosen) < min(count, len(open_rows)):
        last = chosen[-1]
        products = (residual @ residual[last]) * (vectors @ vectors[last])
        squared = np.minimum(squared, np.maximum(lengths + lengths[last] - 2 * products, 0))
        squared[labelled] = squared[chosen] = 0
        total = squared.sum()
        if total <= 0:
            break
        chosen.append(int(np.searchsorted(np.cumsum(squared), rng.random() * total)))
    return chosen


def k_centre(vectors, labelled, probabilities, count, rng) -> list[int]:
    """The picture farthest from all that are labelled, again and again (Sener, Savarese 2018)."""
    nearest = np.full(len(vectors), np.inf)
    for row in np.flatnonzero(labelled):
        nearest = np.minimum(nearest, 2 - 2 * vectors @ vectors[row])
    chosen: list[int] = []
    while len(chosen) < count:
        nearest[labelled] = -1
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, 2 - 2 * vectors @ vectors[chosen[-1]])
    return chosen


METHODS: dict[str, Method] = {
    "random": at_random,
    "typiclust": typiclust,
    "typiclust+margin": typiclust_and_margin,
    "cluster margin": margin_of_clusters,
    "margin": margin,
    "badge": badge,
    "least confidence": least_confidence,
    "entropy": entropy,
    "k-centre": k_centre,
}
NEED_NO_MODEL = {"random", "typiclust", "typiclust+margin", "cluster margin"}


def curve(
    name: str, vectors: np.ndarray, labels: np.ndarray, counts: list[int], seed: int
) -> list[float]:
    """Return a method's accuracy after each number of labels, in one draw."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(labels))
    ask, pool = rows[: len(rows) // 3], rows[len(rows) // 3 :]
    classes = int(labels.max()) + 1
    units = ranking.unit_rows(vectors[pool])
    none = vectors[:0], labels[:0]
    labelled = np.zeros(len(pool), dtype=bool)
    found: list[float] = []
    probabilities = None
    for count in counts:
        more = count - int(labelled.sum())
        is_first = probabilities is None and name not in NEED_NO_MODEL
        method = at_random if is_first else METHODS[name]
        labelled[method(units, labelled, probabilities, more, rng)] = True
        known = pool[labelled]
        fitted = head.fit_head((vectors[known], labels[known]), none, classes).head
        probabilities = fitted.probabilities(vectors[pool])
        right = fitted.logits(vectors[ask]).argmax(axis=1) == labels[ask]
        found.append(float(right.mean()))
    return found


def labels_needed(counts: list[int], accuracies: np.ndarray, wanted: float) -> float:
    """Return after how many labels a mean curve reaches an accuracy; the most, if it does not."""
    reached = np.maximum.accumulate(accuracies)
    if reached[-1] < wanted:
        return float(counts[-1])
    place = int(np.argmax(reached >= wanted))
    if place == 0:
        return float(counts[0])
    low, high = reached[place - 1], reached[place]
    share = (wanted - low) / (high - low)
    return counts[place - 1] + share * (counts[place] - counts[place - 1])


def saved(
    counts: list[int], curves: np.ndarray, random: np.ndarray, target: int
) -> tuple[float, float, float]:
    """Return the share of labels saved and its 95 % interval; the curves are (draws, counts)."""

    def of(draws: np.ndarray) -> float:
        wanted = random[draws].mean(axis=0)[counts.index(target)]
        mine = labels_needed(counts, curves[draws].mean(axis=0), wanted)
        return 1 - mine / labels_needed(counts, random[draws].mean(axis=0), wanted)

    rng = np.random.default_rng(0)
    every = np.arange(len(curves))
    shares = [of(rng.choice(every, len(every))) for _number in range(RESAMPLES)]
    low, high = np.percentile(shares, [2.5, 97.5])
    return of(every), float(low), float(high)


def load_vectors(directory: Path, file: Path | None, wanted: list[str]) -> tuple[np.ndarray, ...]:
    """Return the vectors and labels of the pictures; from the file, if it is there."""
    if file and file.exists():
        stored = np.load(file)
        return stored["vectors"], stored["labels"]
    with tempfile.TemporaryDirectory() as folder:
        collection = learning_curves.collect_pictures(directory, Path(folder))
        backbone = backbones.load("lite0")
        vectors = learning_curves.collection_vectors(backbone, collection).matrix
    names = np.array(collection.names)[collection.labels]
    used = np.isin(names, wanted) if wanted else np.ones(len(names), dtype=bool)
    labels = np.unique(names[used], return_inverse=True)[1]
    if file:
        np.savez(file, vectors=vectors[used], labels=labels)
    return vectors[used], labels


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--categories", nargs="+", default=[], help="Only these folders.")
    parser.add_argument("--vectors", type=Path, help="A file that keeps the vectors.")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--target", type=int, default=100, help="Labels at random to compare with.")
    parser.add_argument("--round", type=int, default=20)
    parser.add_argument("--draws", type=int, default=30)
    parser.add_argument("--check", action="store_true")
    chosen = parser.parse_args()
    vectors, labels = load_vectors(chosen.directory, chosen.vectors, chosen.categories)
    pool = len(labels) - len(labels) // 3
    most = min(int(chosen.target * MORE), pool)
    counts = sorted({*range(chosen.round, most + 1, chosen.round), chosen.target})
    print(f"{len(labels)} pictures of {labels.max() + 1} categories, a pool of {pool}")
    curves = {}
    for name in dict.fromkeys(["random", *chosen.methods]):
        draws = [curve(name, vectors, labels, counts, seed) for seed in range(chosen.draws)]
        curves[name] = np.array(draws)
        share, low, high = saved(counts, curves[name], curves["random"], chosen.target)
        shown = " ".join(f"{value:.3f}" for value in curves[name].mean(axis=0))
        print(f"{name:18s} {share:5.0%} [{low:.0%}, {high:.0%}]   {shown}", flush=True)
        if chosen.check and name == USED and (share < AIM or low <= 0):
            raise SystemExit(f"{USED} saves less than {AIM:.0%}, or none for certain.")


if __name__ == "__main__":
    main()

"""Differences of data sets, overruled labels and nearest samples at two sizes: `python -m
bench.tracing`.

In an embedded database of its own. What is shown page by page should answer alike; what counts or
searches may grow with the size, and no more than that.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.installation import ROOT, Site

SIZES = (10_000, 100_000)
FEATURES = 1280
ROUNDS = 5
CHANGED = 50  # one sample in so many is added, removed or relabelled


def measure(folder: Path) -> None:
    """Print the median milliseconds of every question at both sizes, and their ratio."""
    answers = []
    for size in SIZES:
        site = Site(folder / str(size))
        site.manage("migrate", "--verbosity", "0")
        done = subprocess.run(
            [sys.executable, "-m", "bench.tracing", "--fill", str(size)],
            cwd=ROOT,
            env=site.environment,
            check=True,
            text=True,
            stdout=subprocess.PIPE,
        )
        answers.append(json.loads(done.stdout.splitlines()[-1]))
    small, large = answers
    print(f"| question | at {SIZES[0]:,} samples | at {SIZES[1]:,} | ratio |")
    print("|---|--:|--:|--:|")
    for name, before in small.items():
        print(f"| {name} | {before:.1f} | {large[name]:.1f} | {large[name] / before:.1f} |")


def _fill_and_measure(size: int) -> dict[str, float]:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")
    django.setup()
    from training.data import dataset_diff
    from training.data.dataset_diff import Change
    from training.provenance import labels

    older, newer = _fill(size)
    questions: dict[str, Callable[[], object]] = {
        "counting all changes, ms": lambda: dataset_diff.count_changes(older, newer),
        "first page of those added, ms": lambda: dataset_diff.change_page(
            older, newer, Change.ADDED
        ),
        "a page of those relabelled, ms": lambda: dataset_diff.change_page(
            older, newer, Change.RELABELLED, after=size // 2
        ),
        "counting overruled labels, ms": lambda: labels.overruled_items(older).count(),
    }
    found = {name: _median_ms(question) for name, question in questions.items()}
    return found | _measure_search(size)


def _fill(size: int):  # noqa: ANN202 (rows of a model that can be imported only now)
    from predictions.models import Category, Project, Sample
    from review.models import Decision
    from training.models import DatasetItem, DatasetVersion

    project = Project.objects.create(name="Dishes", slug="dishes")
    first, second = (Category.objects.create(project=project, name=name) for name in "ab")
    samples = Sample.objects.bulk_create(
        (
            Sample(project=project, sha256=f"{place:064x}", location=Sample.Location.NOWHERE)
            for place in range(size)
        ),
        batch_size=5000,
    )
    versions = [
        DatasetVersion.objects.create(project=project, number=number, digest=str(number))
        for number in (1, 2)
    ]

    def items(version: DatasetVersion):  # noqa: ANN202
        for place, sample in enumerate(samples):
            if place % CHANGED == version.number:
                continue  # the first lacks what is added, the second what is removed
            other = version.number == 2 and place % CHANGED == 3
            yield DatasetItem(
                dataset=version, sample=sample, category=second if other else first, split="train"
            )

    for version in versions:
        DatasetItem.objects.bulk_create(items(version), batch_size=5000)
    Decision.objects.bulk_create(
        (
            Decision(
                sample=sample,
                category=second if place % CHANGED == 3 else first,
                outcome=Decision.Outcome.LABELLED,
            )
            for place, sample in enumerate(samples)
        ),
        batch_size=5000,
    )
    return versions


def _measure_search(size: int) -> dict[str, float]:
    import numpy as np

    from training.features.cache import FeatureCache
    from training.features.neighbours import find_nearest_cached

    cache, generator = FeatureCache("bench"), np.random.default_rng(0)
    names = [f"{place:064x}" for place in range(size)]
    for start in range(0, size, 2000):
        part = names[start : start + 2000]
        cache.put(part, generator.normal(size=(len(part), FEATURES)).astype(np.float32))
    asked = generator.normal(size=FEATURES)
    # Once unmeasured: afterwards every shard is verified, as those are that a run has just read
    find_nearest_cached(cache, asked, names, 12)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = _median_ms(lambda: find_nearest_cached(cache, asked, names, 12)) / 1000
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    megabytes = size * FEATURES * 4 / 2**20
    return {
        "vectors, MiB": megabytes,
        "nearest 12 of all training samples, s": seconds,
        "memory that the search adds, MiB": max(grown, 0.1),
    }


def _median_ms(question: Callable[[], object]) -> float:
    seconds = []
    for _round in range(ROUNDS):
        started = time.perf_counter()
        question()
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fill", type=int, help="Used by itself: fill, measure, print JSON.")
    options = parser.parse_args()
    if options.fill:
        print(json.dumps(_fill_and_measure(options.fill)))
    else:
        with tempfile.TemporaryDirectory(prefix="classifr-bench-") as folder:
            measure(Path(folder))


if __name__ == "__main__":
    main()

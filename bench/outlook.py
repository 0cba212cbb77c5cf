"""Whether what more labels were said to bring is what they bring.

    python bench/outlook.py FILE.npz [--labels 70] [--draws 20]

FILE.npz holds `vectors` and `labels`, as bench/active_learning.py keeps them. In each draw a head
learns from some labels, a third of the pictures measures, and what 50 more labels would bring is
told as it is after a run; then they are added (seven in ten of them to learn from), at random.
"""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")

import django
import numpy as np

django.setup()

from training.data.datasets import TRAIN_PERCENT  # noqa: E402
from training.evaluation import outlook  # noqa: E402
from training.trainers.local import head  # noqa: E402


def accuracy(
    vectors: np.ndarray, labels: np.ndarray, learn: np.ndarray, asked: np.ndarray
) -> float:
    none = vectors[:0], labels[:0]
    fitted = head.fit_head((vectors[learn], labels[learn]), none, int(labels.max()) + 1).head
    return float((fitted.logits(vectors[asked]).argmax(axis=1) == labels[asked]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--labels", type=int, default=70, help="To learn from, at first.")
    parser.add_argument("--draws", type=int, default=20)
    chosen = parser.parse_args()
    stored = np.load(chosen.file)
    vectors, labels = stored["vectors"], stored["labels"]
    names = [str(number) for number in range(int(labels.max()) + 1)]
    more = 50 * TRAIN_PERCENT // 100
    told, came, seconds = [], [], []
    for seed in range(chosen.draws):
        rows = np.random.default_rng(seed).permutation(len(labels))
        asked, rest = rows[: len(rows) // 3], rows[len(rows) // 3 :]
        first, then = rest[: chosen.labels], rest[: chosen.labels + more]
        started = time.process_time()
        found = outlook.measure_outlook(
            (vectors[first], labels[first]), (vectors[asked], labels[asked]), names
        )
        seconds.append(time.process_time() - started)
        assert found
        told.append(found.gains["50"])
        came.append(
            accuracy(vectors, labels, then, asked) - accuracy(vectors, labels, first, asked)
        )
    said, low, high = np.array(told).T
    inside = np.mean((low <= np.array(came)) & (np.array(came) <= high))
    print(
        f"{len(labels)} pictures, {chosen.labels} labels and 50 more, {chosen.draws} draws: "
        f"said {100 * said.mean():.1f} points [{100 * low.mean():.1f}, {100 * high.mean():.1f}], "
        f"came {100 * np.mean(came):.1f} ± {100 * np.std(came, ddof=1):.1f}, "
        f"{inside:.0%} within the interval; {np.mean(seconds):.1f} s of CPU each"
    )


if __name__ == "__main__":
    main()

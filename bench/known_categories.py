"""What it is worth that a backbone knows categories beforehand, with few pictures of them.

    python bench/known_categories.py DIR --known pizza=pizza cats="tabby,tiger cat" ...

DIR holds a folder of pictures per category; those with `--known`, by one or several of ImageNet's
categories or by their numbers (151-268), are measured. The draws are those of `manage.py
evaluate_backbones`. A head learns from N pictures per category, with what is known as its prior
and without; the strength is the default one, as so few pictures choose none. Without a picture
what is known answers alone.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")

import django
import numpy as np

django.setup()

from training import backbones  # noqa: E402
from training.data.known_categories import find_known_classes  # noqa: E402
from training.studies import learning_curves  # noqa: E402
from training.trainers.local import head  # noqa: E402
from training.trainers.local.known_head import build_known_head  # noqa: E402


def parse_known(text: str) -> tuple[str, list[int]]:
    """Return a folder's name and its ImageNet classes, from "cats=tabby,tiger cat"."""
    folder, _sign, names = text.partition("=")
    first, dash, last = names.partition("-")
    if dash and first.isdigit() and last.isdigit():
        return folder, list(range(int(first), int(last) + 1))
    return folder, find_known_classes(names.split(","))


def accuracy(learned: head.Head, vectors: np.ndarray, labels: np.ndarray) -> float:
    return float((learned.logits(vectors).argmax(axis=1) == labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--known", type=parse_known, nargs="+", required=True)
    parser.add_argument("--per-class", type=int, nargs="+", default=[1, 2, 5, 10, 30])
    parser.add_argument("--seeds", type=int, default=10)
    chosen = parser.parse_args()
    known = dict(chosen.known)
    names = sorted(known)
    backbone = backbones.load(backbones.KNOWS_IMAGENET)
    with tempfile.TemporaryDirectory() as folder:
        collection = learning_curves.collect_pictures(chosen.directory, Path(folder))
        wanted = np.isin(np.array(collection.names)[collection.labels], names)
        vectors = learning_curves.collection_vectors(backbone, collection).matrix[wanted]
    folders = np.array(collection.names)[collection.labels][wanted]
    labels = np.searchsorted(names, folders)
    prior = build_known_head(backbone, names, known)
    assert prior
    none = vectors[:0], labels[:0]
    print(f"{', '.join(names)}: accuracy with what is known, and without")
    print(f"   0  {accuracy(prior, vectors, labels):.3f}")
    for number in chosen.per_class:
        found = []
        for seed in range(chosen.seeds):
            drawn = learning_curves.draw_sample(labels, number, seed)
            train, asked = ((vectors[rows], labels[rows]) for rows in (drawn.learn, drawn.ask))
            heads = (head.fit_head(train, none, len(names), prior=each) for each in (prior, None))
            found.append([accuracy(each.head, *asked) for each in heads])
        (mean, other), (spread, other_spread) = np.mean(found, 0), np.std(found, 0, ddof=1)
        print(f"{number:4d}  {mean:.3f} ± {spread:.3f}  {other:.3f} ± {other_spread:.3f}")


if __name__ == "__main__":
    main()

"""The demo's data: what `lite0` sees in photos that are no part of the project.

    python -m bench.demo_vectors PHOTOS

PHOTOS holds `food/<dish>/<file>` and `food101_64px/<dish>/<file>`, subsets of Food-101 and some
thumbnails of the web. Written is `classifr/demo_data/vectors.npz`; it is to be made anew whenever
`lite0` gives other vectors, that is when its digest changes. Of every photo the file has the
SHA-256, the dish and the vector, from which no picture can be made again.

Printed is how well the dishes are told apart, by cross-validation, before and after pizza is added.
"""

import hashlib
import os
import re
import sys
from pathlib import Path

import numpy as np

DISHES = ("bibimbap", "edamame", "gnocchi", "risotto", "sushi", "tiramisu")
MOST_SMALL = 100
FOLDS = 5


def main() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")
    django.setup()
    from classifr import demo
    from predictions.predictors.local import preprocessing
    from predictions.predictors.local.engine import LiteRtEngine
    from training import backbones
    from training.backbones import lite0
    from training.trainers.local import export

    photos = Path(sys.argv[1])
    backbone = backbones.load(demo.BACKBONE)
    engine = LiteRtEngine(export.export_backbone(backbone))

    def vectors(paths: list[Path]) -> np.ndarray:
        pixels = (preprocessing.read_pixels(each.read_bytes(), engine.input_size) for each in paths)
        return np.concatenate([engine.run(each[None])["features"] for each in pixels])

    chosen = [(path, dish) for dish in DISHES for path in photos_of(photos, dish)]
    features = vectors([path for path, _dish in chosen])
    labels = np.array([dish for _path, dish in chosen])
    # float16 is finer than what int8 leaves of them
    np.savez_compressed(
        demo.VECTORS,
        sha256=np.array([hashlib.sha256(path.read_bytes()).hexdigest() for path, _dish in chosen]),
        category=labels,
        features=features.astype(np.float16),
        network=np.array(lite0.network_name(demo.BACKBONE)),
    )
    pizza = sorted((photos / "food" / "pizza").iterdir())
    with_pizza = np.concatenate([features, vectors(pizza)])
    for name, rows, names in (
        ("the demo's dishes", features, labels),
        ("with pizza", with_pizza, np.concatenate([labels, ["pizza"] * len(pizza)])),
    ):
        print(f"{name}: {len(rows)} photos, accuracy {cross_validated(rows, names):.3f}")


def photos_of(photos: Path, dish: str) -> list[Path]:
    """Return the photos of a dish.

    A dish that only exists at 64 px comes from there. Sharpness alone would then give it away, so
    the others get small photos too: a third as many as they have large ones, and no photo twice.
    """
    large = sorted((photos / "food" / dish).glob("*"))
    known = {number_of(path) for path in large}
    small = [
        path
        for path in sorted((photos / "food101_64px" / dish).glob("*"))
        if number_of(path) not in known
    ]
    return large + small[: len(large) // 3 if large else MOST_SMALL]


def number_of(path: Path) -> str:
    """Return the number of a photo in Food-101, which both sets end their names with."""
    found = re.findall(r"\d+", path.stem)
    return found[-1] if found else path.stem


def cross_validated(features: np.ndarray, names: np.ndarray) -> float:
    """Return the share of the photos that a head is right about which has not learned from them."""
    from training.trainers.local import head

    classes, labels = np.unique(names, return_inverse=True)
    fold = np.random.default_rng(0).integers(0, FOLDS, len(labels))
    right = np.zeros(len(labels), bool)
    for number in range(FOLDS):
        asked, held = fold == number, fold == (number + 1) % FOLDS
        learned = ~(asked | held)
        fitted = head.fit_head(
            (features[learned], labels[learned]), (features[held], labels[held]), len(classes)
        )
        right[asked] = fitted.head.probabilities(features[asked]).argmax(axis=1) == labels[asked]
    return float(right.mean())


if __name__ == "__main__":
    main()

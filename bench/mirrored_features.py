"""Whether a head learns more when it sees the feature vectors of the mirrored pictures as well.

    python bench/mirrored_features.py DIR [--backbone lite0] [--seeds 5]

DIR holds a folder of pictures per category. The protocol is that of `manage.py evaluate_backbones`:
the same draws, the same choice of the regularisation; once on the pictures alone and once on them
and their mirror images. Asked is about the pictures as they are.
"""

import argparse
import io
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")

import django
import numpy as np
from PIL import ImageOps

django.setup()

from common.media import images  # noqa: E402
from predictions.predictors.local import heads  # noqa: E402
from predictions.predictors.local.engine import LiteRtEngine  # noqa: E402
from training import backbones  # noqa: E402
from training.features.cache import Vectors  # noqa: E402
from training.features.vectors import extract_batches  # noqa: E402
from training.studies import learning_curves  # noqa: E402
from training.studies.learning_curves import LabelledPictures, SampleDraw  # noqa: E402
from training.trainers.local import export, head  # noqa: E402


def vectors(
    collection: LabelledPictures, engine: LiteRtEngine, change: Callable[[bytes], bytes]
) -> np.ndarray:
    """Return the feature vectors of all pictures, changed in this way."""
    pictures = {
        sample: (lambda sample=sample: change(collection.read(sample)()))
        for sample in collection.samples
    }
    found: Vectors = {}
    for samples, rows in extract_batches(pictures, engine, {}):
        found.update(zip(samples, rows, strict=True))
    return np.stack([found[sample] for sample in collection.samples])


def mirrored_picture(data: bytes) -> bytes:
    buffer = io.BytesIO()
    ImageOps.mirror(images.decode_stored(data)).save(buffer, "PNG", compress_level=1)  # no loss
    return buffer.getvalue()


def learn_from_both(
    plain: np.ndarray, mirrored: np.ndarray, labels: np.ndarray, drawn: SampleDraw, classes: int
) -> heads.Head:
    """Return the head that learned from pictures and mirror images; held-back pictures choose as
    they are.
    """

    def both(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.concatenate([plain[rows], mirrored[rows]]), np.concatenate(
            [labels[rows], labels[rows]]
        )

    held = plain[drawn.held], labels[drawn.held]
    chosen = head.fit_head(both(np.setdiff1d(drawn.learn, drawn.held)), held, classes)
    whole = head.fit_head(both(drawn.learn), held, classes, grid=[chosen.l2])
    return heads.Head(whole.head.kernel, whole.head.bias, chosen.head.temperature)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--backbone", default="lite0")
    parser.add_argument("--per-class", type=int, nargs="+", default=[5, 10, 20, 50])
    parser.add_argument("--seeds", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        collection = learning_curves.collect_pictures(chosen.directory, Path(folder))
        engine = LiteRtEngine(
            export.export_backbone(backbones.load(chosen.backbone)), threads=os.cpu_count()
        )
        plain, mirrored = (
            vectors(collection, engine, change) for change in (bytes, mirrored_picture)
        )
    labels, classes = collection.labels, len(collection.names)
    print(
        f"{chosen.directory.name}, {chosen.backbone}: accuracy plain, with mirror images, "
        f"difference ± its deviation"
    )
    for number in learning_curves.usable_sizes(collection, chosen.per_class):
        found = []
        for seed in range(chosen.seeds):
            drawn = learning_curves.draw_sample(labels, number, seed)
            heads = (
                learning_curves.fit_draw_head(plain, labels, drawn, classes),
                learn_from_both(plain, mirrored, labels, drawn, classes),
            )
            found.append(
                [
                    (h.logits(plain[drawn.ask]).argmax(axis=1) == labels[drawn.ask]).mean()
                    for h in heads
                ]
            )
        alone, both = np.array(found).T
        gain = both - alone
        print(
            f"{number:4d}  {alone.mean():.3f}  {both.mean():.3f}  {gain.mean():+.3f} ± "
            f"{gain.std(ddof=1):.3f}"
        )


if __name__ == "__main__":
    main()

"""Does a photo that is scaled down while it is decoded get the same answer? `python -m
bench.decoding FOLDER`

FOLDER holds a folder of photos for each category. A head learns from fully decoded ones; the others
are asked about fully decoded and at the scale that serving decodes them at
(`preprocessing.min_side_for`). As photos of data sets are smaller than those of telephones, the
same is done with them enlarged to 1280 pixels and stored as JPEG again. To compare with: what it
does to the answers if a photo is encoded once more, at quality 90.
"""

import argparse
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from predictions.predictors.local.engine import LiteRtEngine

LONGER_SIDE = 1280
SEED = 0


HEAD = (
    "photos",
    "changed",
    "how many",
    "same answer",
    "largest difference",
    "mean",
    "right before",
    "right after",
)


@dataclass(frozen=True)
class Seen:
    """What the network saw in some photos, shape (N, features): whole, scaled down, encoded once
    more.
    """

    whole: np.ndarray
    scaled: np.ndarray
    encoded: np.ndarray
    scaled_down: int


def measure(folder: Path, *, backbone: str, per_class: int) -> None:
    """Print how many answers stay the same and how far probabilities move, for the photos as they
    are and enlarged.
    """
    from predictions.predictors.local.engine import LiteRtEngine
    from training import backbones
    from training.studies.learning_curves import draw_sample, fit_draw_head
    from training.trainers.local import export

    engine = LiteRtEngine(export.export_backbone(backbones.load(backbone)))
    files = {
        path.name: sorted(path.glob("*.*")) for path in sorted(folder.iterdir()) if path.is_dir()
    }
    files = {name: found for name, found in files.items() if len(found) > per_class}
    paths = [path for found in files.values() for path in found]
    labels = np.repeat(np.arange(len(files)), [len(found) for found in files.values()])
    drawn = draw_sample(labels, per_class, SEED)
    photos = [path.read_bytes() for path in paths]
    as_they_are = look(photos, engine)
    head = fit_draw_head(as_they_are.whole, labels, drawn, len(files))
    print(
        f"{len(files)} categories, {len(drawn.learn)} photos learned from, {len(drawn.ask)} asked "
        f"about; {backbone}\n"
    )
    print(f"| {' | '.join(HEAD)} |\n|---|---|{'--:|' * (len(HEAD) - 2)}")
    truth = labels[drawn.ask]
    for name, seen in {
        "as they are": look([photos[row] for row in drawn.ask], engine),
        f"enlarged to {LONGER_SIDE}": look([enlarged(photos[row]) for row in drawn.ask], engine),
    }.items():
        before = head.probabilities(seen.whole)
        compare(
            f"{name} | scaled while decoded | {seen.scaled_down}",
            before,
            head.probabilities(seen.scaled),
            truth,
        )
        compare(
            f"{name} | encoded once more | {len(truth)}",
            before,
            head.probabilities(seen.encoded),
            truth,
        )


def compare(name: str, before: np.ndarray, after: np.ndarray, truth: np.ndarray) -> None:
    """Print a line about two answers to the same photos: probabilities, shape (N, K), and labels,
    shape (N,).
    """
    same = before.argmax(axis=1) == after.argmax(axis=1)
    apart = np.abs(before - after).max(axis=1)
    right = " | ".join(
        f"{(answers.argmax(axis=1) == truth).mean():.4f}" for answers in (before, after)
    )
    print(
        f"| {name} | {same.mean():.2%} | {apart.max():.4f} | {apart.mean():.5f} | {right} |",
        flush=True,
    )


def look(photos: Sequence[bytes], engine: "LiteRtEngine") -> Seen:
    from common.media import images
    from predictions.predictors.local import preprocessing

    side = preprocessing.min_side_for(engine.input_size)
    kinds: tuple[list[np.ndarray], ...] = ([], [], [])
    scaled_down = 0
    for photo in photos:
        whole, scaled = (
            images.decode_upload(photo).image,
            images.decode_upload(photo, least_side=side).image,
        )
        scaled_down += whole.size != scaled.size
        for kept, image in zip(
            kinds, (whole, scaled, images.decode_stored(as_jpeg(whole))), strict=True
        ):
            kept.append(
                engine.run(preprocessing.crop_batch([image], engine.input_size))["features"][0]
            )
    whole_seen, scaled_seen, encoded_seen = (np.stack(kept) for kept in kinds)
    return Seen(whole_seen, scaled_seen, encoded_seen, scaled_down)


def enlarged(photo: bytes) -> bytes:
    from common.media import images

    image = images.decode_upload(photo).image
    factor = LONGER_SIDE / max(image.size)
    size = (round(image.width * factor), round(image.height * factor))
    return as_jpeg(image.resize(size, Image.Resampling.LANCZOS))


def as_jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def main() -> None:
    import django

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backbone", default="lite0")
    parser.add_argument(
        "--per-class", type=int, default=20, help="photos of a category to learn from (%(default)s)"
    )
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")
    django.setup()
    measure(options.folder, backbone=options.backbone, per_class=options.per_class)


if __name__ == "__main__":
    main()

"""What the checks of labels are worth: wrong labels, near duplicates, and groups kept whole.

    python bench/labels.py errors DIR [DIR ...]     wrong labels are injected and looked for
    python bench/labels.py twins DIR [DIR ...]      changed copies of pictures are looked for
    python bench/labels.py groups DIR               accuracy with groups whole, and torn apart

DIR holds a folder of pictures per category. `groups` is for pictures whose names end in the number
of the shot, as those of the magnetic tiles do: shots of one tile follow each other. Everything is
repeated with other seeds; the intervals are those of 95 % for the mean over the seeds.
"""

import argparse
import io
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")

import django
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

django.setup()

from common.media import images  # noqa: E402
from common.parallel import parallel_map  # noqa: E402
from predictions.predictors.local.engine import LiteRtEngine  # noqa: E402
from training import backbones  # noqa: E402
from training.data import near_duplicates, perceptual_hash  # noqa: E402
from training.evaluation import confident_learning  # noqa: E402
from training.features.vectors import extract_batches  # noqa: E402
from training.studies import learning_curves  # noqa: E402
from training.studies.learning_curves import LabelledPictures  # noqa: E402
from training.trainers.local import export  # noqa: E402
from training.trainers.local.head import fit_head  # noqa: E402

NOISE = 0.1
TARGETS = (("recall", 0.85), ("precision", 0.5))
TEST_SHARE = 0.3
GAP = 50  # between the numbers of two shots of one tile at most

Change = Callable[[Image.Image], Image.Image]


def cropped(share: float) -> Change:
    """Return what cuts this share off each side."""

    def change(picture: Image.Image) -> Image.Image:
        width, height = picture.size
        dx, dy = round(width * share), round(height * share)
        return picture.crop((dx, dy, width - dx, height - dy))

    return change


CHANGES: dict[str, Change] = {
    "half the size": lambda picture: picture.resize(
        (max(1, picture.width // 2), max(1, picture.height // 2))
    ),
    "15 % brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.15),
    "2 % cut off each side": cropped(0.02),
    "5 % cut off each side": cropped(0.05),
    "turned by 2 degrees": lambda picture: picture.rotate(2, Image.Resampling.BICUBIC),
    "mirrored": ImageOps.mirror,
}


def mean_between(values: Sequence[float], places: int = 2) -> str:
    """Return a mean with the interval of 95 % for it."""
    found = np.array(values)
    half = 1.96 * found.std(ddof=1) / len(found) ** 0.5 if len(found) > 1 else 0.0
    mean = found.mean()
    return f"{mean:.{places}f} [{mean - half:.{places}f}, {mean + half:.{places}f}]"


def make_engine(backbone: str) -> LiteRtEngine:
    return LiteRtEngine(export.export_backbone(backbones.load(backbone)), threads=os.cpu_count())


def vectors_of(
    collection: LabelledPictures, engine: LiteRtEngine, change: Callable[[bytes], bytes] = bytes
) -> np.ndarray:
    """Return the feature vectors of all pictures, changed in this way."""
    pictures = {
        sample: (lambda sample=sample: change(collection.read(sample)()))
        for sample in collection.samples
    }
    found = {}
    for samples, rows in extract_batches(pictures, engine, {}):
        found.update(zip(samples, rows, strict=True))
    return np.stack([found[sample] for sample in collection.samples])


def accuracy(
    features: np.ndarray, labels: np.ndarray, learn: np.ndarray, ask: np.ndarray, classes: int
) -> float:
    """Return the accuracy on `ask` of a head that learned from `learn`."""
    empty = features[:0], labels[:0]
    head = fit_head((features[learn], labels[learn]), empty, classes).head  # the usual strength
    return float((head.logits(features[ask]).argmax(axis=1) == labels[ask]).mean())


def measure_errors(
    features: np.ndarray, labels: np.ndarray, seeds: int, l2: float
) -> list[tuple[float, ...]]:
    """Return recall, precision, accuracy with errors, corrected and clean, each for all seeds."""
    classes = int(labels.max()) + 1
    figures: list[list[float]] = []
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        order = random.permutation(len(labels))
        ask, learn = np.split(order, [round(TEST_SHARE * len(order))])
        wrong = random.choice(learn, round(NOISE * len(learn)), replace=False)
        given = labels.copy()
        given[wrong] = (given[wrong] + random.integers(1, classes, len(wrong))) % classes
        doubts = confident_learning.find_doubts(
            features[learn], given[learn], learn.tolist(), classes, l2=l2
        )
        found = learn[[doubt.row for doubt in doubts]] if doubts else np.empty(0, int)
        hits = np.intersect1d(found, wrong)
        corrected = given.copy()
        corrected[found] = labels[found]  # somebody looked at each
        figures.append(
            [len(hits) / len(wrong), len(hits) / max(1, len(found))]
            + [
                accuracy_of(features, each, labels, learn, ask, classes)
                for each in (given, corrected, labels)
            ]
        )
    return list(zip(*figures, strict=True))


def accuracy_of(
    features: np.ndarray,
    learned: np.ndarray,
    true: np.ndarray,
    learn: np.ndarray,
    ask: np.ndarray,
    classes: int,
) -> float:
    """Return the accuracy on `ask` of a head that learned these labels."""
    mixed = learned.copy()
    mixed[ask] = true[ask]
    return accuracy(features, mixed, learn, ask, classes)


def errors(folders: Sequence[Path], chosen: argparse.Namespace) -> None:
    engine = make_engine(chosen.backbone)
    missed: list[str] = []
    print("| pictures | penalty | recall | precision | accuracy with errors | corrected | clean |")
    print("|---|---|---|---|---|---|---|")
    for folder in folders:
        with tempfile.TemporaryDirectory() as kept:
            collection = learning_curves.collect_pictures(folder, Path(kept))
            features = vectors_of(collection, engine)
        for l2 in chosen.l2:
            found = measure_errors(features, collection.labels, chosen.seeds, l2)
            cells = " | ".join(mean_between(column, 3) for column in found)
            print(f"| {folder.name} | {l2:g} | {cells} |", flush=True)
            missed += [
                f"{folder.name}: {name} {np.mean(column):.3f}, wanted {wanted}"
                for (name, wanted), column in zip(TARGETS, found, strict=False)
                if np.mean(column) < wanted
            ]
    if chosen.check and missed:
        sys.exit("\n".join(missed))


def changed_bytes(change: Change) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        buffer = io.BytesIO()
        change(images.decode_stored(data)).save(buffer, "JPEG", quality=70)
        return buffer.getvalue()

    return changed


def hashes_of(collection: LabelledPictures, change: Callable[[bytes], bytes]) -> np.ndarray:
    """Return the hashes of all pictures, changed so; those that show nothing as random numbers."""

    def hashed(sample: str) -> tuple[int, int]:
        data = change(collection.read(sample)())
        picture = images.decode_stored(data, least_side=near_duplicates.LEAST_SIDE)
        found = perceptual_hash.perceptual_hashes(picture)
        return found or tuple(np.random.default_rng().integers(0, 2**63, 2).tolist())  # type: ignore[return-value]

    return np.array(list(parallel_map(hashed, collection.samples)), np.uint64)


def twins(folders: Sequence[Path], chosen: argparse.Namespace) -> None:
    engine = make_engine(chosen.backbone)
    bits, cosines = (6, 10, 14, 20), (0.95, 0.97, 0.98)
    heads = [*(f"{each} bits" for each in bits), *(f"cosine {each}" for each in cosines)]
    print(f"| pictures | of | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 2)}")
    for folder in folders:
        with tempfile.TemporaryDirectory() as kept:
            collection = learning_curves.collect_pictures(folder, Path(kept))
            plain, vectors = hashes_of(collection, bytes), vectors_of(collection, engine)
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            differing = np.bitwise_count(plain[:, None] ^ plain[None]).sum(axis=2)
            alike = vectors @ vectors.T
            upper = np.triu_indices(len(plain), 1)
            counts = [int((differing[upper] <= each).sum()) for each in bits]
            counts += [int((alike[upper] >= each).sum()) for each in cosines]
            cells = " | ".join(map(str, counts))
            print(f"| {folder.name} ({len(plain)}) | pairs among the originals | {cells} |")
            for name, change in CHANGES.items():
                changed = changed_bytes(change)
                apart = np.bitwise_count(plain ^ hashes_of(collection, changed)).sum(axis=1)
                other = vectors_of(collection, engine, changed)
                near = (vectors * other).sum(axis=1) / np.linalg.norm(other, axis=1)
                shares = [(apart <= each).mean() for each in bits]
                shares += [(near >= each).mean() for each in cosines]
                print(f"| | {name} | {' | '.join(f'{each:.2f}' for each in shares)} |", flush=True)


def tiles_of(directory: Path, samples: Sequence[str]) -> list[int]:
    """Return which tile each picture shows: shots of one tile have numbers near each other."""
    numbers = {}
    for path in directory.rglob("*"):
        if path.is_file() and (match := re.search(r"(\d+)\.\w+$", path.name)):
            picture = images.decode_upload(path.read_bytes(), least_side=1)
            numbers[picture.sha256] = int(match[1])
    tile, last, found = 0, None, {}
    for sample in sorted(samples, key=lambda each: numbers[each]):
        if last is not None and numbers[sample] - last > GAP:
            tile += 1
        found[sample], last = tile, numbers[sample]
    return [found[sample] for sample in samples]


def groups(folders: Sequence[Path], chosen: argparse.Namespace) -> None:
    engine = make_engine(chosen.backbone)
    print("| pictures | groups | torn apart | kept whole | flattery |\n|---|---|---|---|---|")
    for folder in folders:
        with tempfile.TemporaryDirectory() as kept:
            collection = learning_curves.collect_pictures(folder, Path(kept))
            features = vectors_of(collection, engine)
            tiles = np.array(tiles_of(folder, collection.samples))
        labels, classes = collection.labels, len(collection.names)
        figures = []
        for seed in range(chosen.seeds):
            random = np.random.default_rng(seed)
            torn = random.permutation(len(labels)) < TEST_SHARE * len(labels)
            in_test = random.permutation(int(tiles.max()) + 1) < TEST_SHARE * (tiles.max() + 1)
            figures.append(
                [
                    accuracy(features, labels, np.flatnonzero(~test), np.flatnonzero(test), classes)
                    for test in (torn, in_test[tiles])
                ]
            )
        apart, whole = np.array(figures).T
        cells = [mean_between(each, 3) for each in (apart, whole, apart - whole)]
        print(
            f"| {folder.name} ({len(labels)}) | {tiles.max() + 1} | {' | '.join(cells)} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", choices=["errors", "twins", "groups"])
    parser.add_argument("directories", type=Path, nargs="+")
    parser.add_argument("--backbone", default="lite0")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--check", action="store_true", help="exit 1 if recall or precision miss")
    parser.add_argument("--l2", type=float, nargs="+", default=[confident_learning.L2])
    chosen = parser.parse_args()
    {"errors": errors, "twins": twins, "groups": groups}[chosen.study](chosen.directories, chosen)


if __name__ == "__main__":
    main()

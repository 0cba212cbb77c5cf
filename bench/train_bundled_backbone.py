"""Train the small image backbone that ships with the product, from random weights, on a CPU.

The backbone is a student: it learns to reproduce the features of a larger ImageNet network (the teacher) on pictures
of food, animals, objects, poses and surfaces, and to name their classes at the same time. Stages, each kept on disk:

    prepare   fixed augmented views of every training picture, with the teacher's features of exactly those views
    train     the student on the stored views (distillation plus class labels)
    export    BatchNorm folded into the convolutions, weights rounded to float16, one array per layer weight
    demo      feature vectors of the pictures of the demo dishes, computed by the exported network
    evaluate  logistic regression on frozen features, student beside teacher, on the same pictures

    python bench/train_bundled_backbone.py --data DIR --teacher FILE.npz --out DIR

DIR holds the unpacked sets as <set>/<class>/<file>, and cifar10.npz. The training leaves out a held-out part of the
pictures, split by the SHA-256 of their bytes (see `Picture.bucket`), and pizza and every dish with "cake" in its name
altogether, because the product shows adding them as new categories. The evaluation reads them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from training.backbones import bundled

TEACHER_SIZE = 2 * bundled.INPUT_SIZE
GRID = TEACHER_SIZE // 32
DENSE_DIMS = 192
POOLED_DIMS = 384
TRAIN_BELOW = 70
SETS = ("food", "food101_64px", "cats_dogs", "pose_yoga", "inspect_magtile", "inspect_neudet")
# How many stored views each picture gets: the small sets of full-size pictures more than the large sets of small ones.
VIEWS = {"food": 8, "food101_64px": 3, "cifar10": 1, "cats_dogs": 10, "pose_yoga": 8}
VIEWS |= {"inspect_magtile": 6, "inspect_neudet": 6}
# Most epochs run on smaller pictures, at about a third of the cost; the rest at the size of the product.
SMALL_SIZE = 64
SMALL_EPOCHS = 0.8
SMALL_COST = 0.33
DEMO_DISHES = (
    "beef_carpaccio",
    "bibimbap",
    "cannoli",
    "edamame",
    "gnocchi",
    "hamburger",
    "risotto",
    "sushi",
    "tiramisu",
)
TEACHER_BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def log(message: str) -> None:
    """Print a line with the time of day."""
    print(f"[{time.strftime('%H:%M:%S')}] {message}", flush=True)


# --------------------------------------------------------------------------------------------------------- pictures


@dataclass(frozen=True)
class Picture:
    """One picture of a set: where it is, its class, and the SHA-256 of its bytes."""

    group: str
    label: str
    path: Path
    sha256: str

    @property
    def bucket(self) -> int:
        """0 to 99 from the bytes: below 70 may train, 70 to 84 validates, 85 and above tests."""
        return int(self.sha256[:8], 16) % 100

    @property
    def number(self) -> str:
        """Identifier of the photo in Food-101, which the names in both food sets end with."""
        found = re.findall(r"\d+", self.path.stem)
        return found[-1] if found else self.path.stem


def reserved(label: str) -> bool:
    """Whether the class is kept out of the training so that it can be shown as a new category."""
    return "pizza" in label or "cake" in label


def list_pictures(data: Path, groups: Sequence[str] = SETS) -> list[Picture]:
    """Every picture of the sets, in a stable order."""
    found = []
    for group in groups:
        for path in sorted((data / group).glob("*/*")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found.append(Picture(group, path.parent.name, path, digest))
    return found


def training_pictures(pictures: Sequence[Picture]) -> list[Picture]:
    """The pictures that may train the backbone.

    Both food sets come from Food-101 and share photos: a small copy of a held-out large photo is held out too. Of the
    classes that the evaluation and the demo use, the small set keeps its own held-out part as well.
    """
    held = {(p.label, p.number) for p in pictures if p.group == "food" and p.bucket >= TRAIN_BELOW}
    split = {p.label for p in pictures if p.group == "food"} | set(DEMO_DISHES)
    chosen = []
    for picture in pictures:
        if picture.group.startswith("food") and reserved(picture.label):
            continue
        if picture.group == "food101_64px":
            if (picture.label, picture.number) in held or (picture.label in split and picture.bucket >= TRAIN_BELOW):
                continue
        elif picture.bucket >= TRAIN_BELOW:
            continue
        chosen.append(picture)
    return chosen


def open_rgb(path: Path) -> Image.Image:
    """The upright picture in RGB."""
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def centre_square(image: Image.Image) -> Image.Image:
    """The largest centred square."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


def standard_view(image: Image.Image, size: int) -> np.ndarray:
    """The preprocessing of the product: centred square, antialiased bilinear resize, uint8."""
    return np.asarray(centre_square(image).resize((size, size), Image.Resampling.BILINEAR))


def random_box(image: Image.Image, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A random crop of 30 to 100 percent of the area, of mildly varying proportions."""
    width, height = image.size
    area = width * height * rng.uniform(0.3, 1.0)
    ratio = float(np.exp(rng.uniform(np.log(0.75), np.log(4 / 3))))
    w, h = min(width, (area * ratio) ** 0.5), min(height, (area / ratio) ** 0.5)
    x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
    return (x, y, x + w, y + h)


def jitter(pixels: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Brightness, contrast and saturation by the three factors."""
    values = pixels.astype(np.float32) * factors[0]
    values = (values - values.mean()) * factors[1] + values.mean()
    grey = values.mean(axis=2, keepdims=True)
    return np.clip((values - grey) * factors[2] + grey, 0, 255).astype(np.uint8)


def render(image: Image.Image, view: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One view for student and teacher: the standard one first, then random crops with mild colour changes."""
    sizes = (bundled.INPUT_SIZE, TEACHER_SIZE)
    if view == 0:
        return standard_view(image, sizes[0]), standard_view(image, sizes[1])
    box, factors = random_box(image, rng), rng.uniform(0.75, 1.25, 3)
    small, large = (
        jitter(np.asarray(image.resize((s, s), Image.Resampling.BILINEAR, box=box)), factors) for s in sizes
    )
    return small, large


# ---------------------------------------------------------------------------------------------------------- teacher


def build_teacher(file: Path, size: int = TEACHER_SIZE) -> tuple[Any, np.ndarray, np.ndarray]:
    """MobileNetV2 up to its last feature map, from an int8 archive; and the weight and bias of its classifier."""
    import keras
    from keras import layers

    archive = np.load(file)
    built: list[Any] = []

    def conv(x: Any, filters: int, kernel: int, stride: int, activate: bool) -> Any:
        built.append(layers.Conv2D(filters, kernel, strides=stride, padding="same"))
        x = built[-1](x)
        return layers.ReLU(6.0)(x) if activate else x

    def depthwise(x: Any, stride: int) -> Any:
        built.append(layers.DepthwiseConv2D(3, strides=stride, padding="same"))
        return layers.ReLU(6.0)(built[-1](x))

    inputs = layers.Input((size, size, 3))
    x = conv(layers.Rescaling(1 / 127.5, -1.0)(inputs), 32, 3, 2, True)
    channels = 32
    for expansion, filters, count, first_stride in TEACHER_BLOCKS:
        for index in range(count):
            y = conv(x, channels * expansion, 1, 1, True) if expansion > 1 else x
            y = conv(depthwise(y, first_stride if index == 0 else 1), filters, 1, 1, False)
            x = layers.Add()([x, y]) if index and channels == filters else y
            channels = filters
    model = keras.Model(inputs, conv(x, 1280, 1, 1, True))

    def tensor(number: int) -> np.ndarray:
        kind = "dw" if f"{number:02d}_dw_q" in archive else "conv"
        shape = (-1, 1, 1, 1) if kind == "conv" else (1, 1, 1, -1)
        scale, zero = (archive[f"{number:02d}_{name}"].astype(np.float32).reshape(shape) for name in ("scale", "zero"))
        return ((archive[f"{number:02d}_{kind}_q"].astype(np.float32) - zero) * scale).transpose(1, 2, 3, 0)

    for number, layer in enumerate(built):
        layer.set_weights([tensor(number), archive[f"{number:02d}_bias"]])
    return model, tensor(len(built))[0, 0], archive[f"{len(built):02d}_bias"]


def lite_runner(model: Any, threads: int = 2) -> Callable[[np.ndarray], np.ndarray]:
    """Convert to LiteRT and return a function from one uint8 picture to the model's output."""
    import contextlib
    import io

    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    with contextlib.redirect_stdout(io.StringIO()):
        content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    interpreter = Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]

    def run(pixels: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source, pixels[None].astype(np.float32))
        interpreter.invoke()
        return interpreter.get_tensor(target)[0]

    return run


# ---------------------------------------------------------------------------------------------------------- prepare


def jobs(data: Path, seed: int) -> tuple[list[tuple[Picture | np.ndarray, str, int]], list[str]]:
    """Every view to store, as (picture or pixels, class name, view number), shuffled; and the class names."""
    todo: list[tuple[Picture | np.ndarray, str, int]] = []
    for picture in training_pictures(list_pictures(data)):
        group = "food" if picture.group.startswith("food") else picture.group
        todo += [(picture, f"{group}/{picture.label}", view) for view in range(VIEWS[picture.group])]
    cifar = np.load(data / "cifar10.npz")
    names = [str(name) for name in cifar["classes"]]
    for pixels, label in zip(cifar["x_train"], cifar["y_train"].ravel(), strict=True):
        todo += [(pixels, f"cifar10/{names[int(label)]}", view) for view in range(VIEWS["cifar10"])]
    order = np.random.default_rng(seed).permutation(len(todo))
    return [todo[i] for i in order], sorted({name for _, name, _ in todo})


def views(todo: Sequence[tuple[Picture | np.ndarray, str, int]], seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rendered views; each one depends on its place in the list and the seed only."""
    for place, (source, _, view) in enumerate(todo):
        image = Image.fromarray(source) if isinstance(source, np.ndarray) else open_rgb(source.path)
        yield render(image, view, np.random.default_rng([seed, place]))


def principal_axes(rows: np.ndarray, dims: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and half-whitening projection: strong directions are damped, weak ones stay weaker than they are."""
    mean = rows.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((rows - mean).T))
    values, vectors = values[::-1][:dims], vectors[:, ::-1][:, :dims]
    scale = np.maximum(values, 1e-6) ** -0.25
    return mean.astype(np.float32), (vectors * scale).astype(np.float32)


def prepare(data: Path, teacher_file: Path, cache: Path, seed: int) -> None:
    """Store the views, the teacher's projected feature maps, its pooled features and the labels."""
    if (cache / "done.json").exists():
        return
    cache.mkdir(parents=True, exist_ok=True)
    todo, names = jobs(data, seed)
    count = len(todo)
    log(f"prepare: {count} views, {len(names)} classes")
    teacher, weight, bias = build_teacher(teacher_file)
    run = lite_runner(teacher)
    sample = np.concatenate([run(large).reshape(-1, 1280)[::5] for _, large in views(todo[:2000], seed)])
    mean, axes = principal_axes(sample, DENSE_DIMS)
    pixels = np.lib.format.open_memmap(
        cache / "pixels.npy", "w+", np.uint8, (count, bundled.INPUT_SIZE, bundled.INPUT_SIZE, 3)
    )
    dense = np.lib.format.open_memmap(cache / "dense.npy", "w+", np.float16, (count, GRID, GRID, DENSE_DIMS))
    pooled: np.ndarray = np.zeros((count, 1280), np.float16)
    for place, (small, large) in enumerate(views(todo, seed)):
        features = run(large)
        pixels[place] = small
        dense[place] = (features - mean) @ axes
        pooled[place] = features.mean(axis=(0, 1))
        if place % 5000 == 0:
            log(f"prepare: {place} of {count}")
    index = {name: number for number, name in enumerate(names)}
    labels = np.array([index[name] for _, name, _ in todo], np.int32)
    np.savez(cache / "targets.npz", pooled=pooled, labels=labels, weight=weight, bias=bias)
    (cache / "done.json").write_text(json.dumps({"views": count, "classes": names}))
    log("prepare: done")


# ------------------------------------------------------------------------------------------------------------ train


def grid_weights(cells: int) -> np.ndarray:
    """Averages that turn the rows of the stored feature maps into fewer rows, by overlap."""
    edges = np.linspace(0, GRID, cells + 1)
    overlap = np.minimum(edges[1:, None], np.arange(1, GRID + 1)) - np.maximum(edges[:-1, None], np.arange(GRID))
    overlap = np.clip(overlap, 0, None)
    return (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass
class Cache:
    """The stored views and targets."""

    pixels: np.ndarray
    dense: np.ndarray
    pooled: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray
    classes: list[str]

    @classmethod
    def load(cls, cache: Path) -> Cache:
        """Read what `prepare` stored; whiten the pooled teacher features and turn them into soft ImageNet labels."""
        stored = np.load(cache / "targets.npz")
        pooled = stored["pooled"].astype(np.float32)
        mean, axes = principal_axes(pooled[::3], POOLED_DIMS)
        scores = pooled @ stored["weight"] + stored["bias"]
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return cls(
            pixels=np.load(cache / "pixels.npy", mmap_mode="r"),
            dense=np.load(cache / "dense.npy", mmap_mode="r"),
            pooled=(pooled - mean) @ axes,
            probabilities=(scores / scores.sum(axis=1, keepdims=True)).astype(np.float16),
            labels=stored["labels"],
            classes=json.loads((cache / "done.json").read_text())["classes"],
        )

    def batch(self, rows: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """The named views in that size, half of them mirrored, with slightly changed exposure."""
        rows = np.sort(rows)
        pixels, dense = self.pixels[rows], self.dense[rows].astype(np.float32)
        if size != bundled.INPUT_SIZE:
            smaller = (Image.fromarray(view).resize((size, size), Image.Resampling.BILINEAR) for view in pixels)
            pixels, grid = np.stack([np.asarray(view) for view in smaller]), grid_weights(size // 16)
            dense = np.einsum("ai,bj,nijc->nabc", grid, grid, dense, optimize=True)
        pixels = pixels.astype(np.float32)
        mirrored = rng.random(len(rows)) < 0.5
        pixels[mirrored], dense[mirrored] = pixels[mirrored, :, ::-1], dense[mirrored, :, ::-1]
        pixels *= rng.uniform(0.9, 1.1, (len(rows), 1, 1, 1)).astype(np.float32)
        pixels += rng.uniform(-12, 12, (len(rows), 1, 1, 3)).astype(np.float32)
        targets = (dense, self.pooled[rows], self.probabilities[rows].astype(np.float32), self.labels[rows])
        return np.clip(pixels, 0, 255), *targets


def training_step(trunk: Any, cache: Cache, rate: Any) -> tuple[Callable[..., Any], Any]:
    """The compiled update, and the optimiser that it uses."""
    import keras
    import tensorflow as tf
    from keras import layers

    features = layers.GlobalAveragePooling2D()(trunk.output)
    dropped = layers.Dropout(0.1)(features)
    student = keras.Model(
        trunk.input,
        [
            layers.Conv2D(cache.dense.shape[-1], 1)(trunk.output),
            layers.Dense(cache.pooled.shape[-1])(features),
            layers.Dense(cache.probabilities.shape[-1])(features),
            layers.Dense(len(cache.classes))(dropped),
        ],
    )
    dense_scale = 1 / float(np.var(cache.dense[::50].astype(np.float32), axis=(0, 1, 2)).mean())
    pooled_scale = 1 / float(np.var(cache.pooled, axis=0).mean())
    optimiser = keras.optimizers.AdamW(rate, weight_decay=0.02, clipnorm=5.0)
    optimiser.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    optimiser.build(student.trainable_variables)
    averaged = [tf.Variable(weight, trainable=False) for weight in trunk.weights]

    @tf.function(reduce_retracing=False)
    def step(pixels: Any, dense: Any, pooled: Any, soft: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            dense_out, pooled_out, soft_out, label_out = student(pixels, training=True)
            hard = tf.one_hot(labels, len(cache.classes)) * 0.9 + 0.1 / len(cache.classes)
            parts = tf.stack(
                [
                    tf.reduce_mean(tf.square(dense_out - dense)) * dense_scale,
                    tf.reduce_mean(tf.square(pooled_out - pooled)) * pooled_scale,
                    tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(soft, soft_out)),
                    tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(hard, label_out)),
                ]
            )
            loss = tf.reduce_sum(parts * [1.0, 1.0, 0.2, 0.3])
        optimiser.apply(tape.gradient(loss, student.trainable_variables))
        for average, weight in zip(averaged, trunk.weights, strict=True):
            average.assign(average * 0.998 + weight * 0.002)
        return parts

    return step, (optimiser, averaged)


def ahead(items: Iterator[Any]) -> Iterator[Any]:
    """The same items, each one made in a second thread while the one before is in use."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = pool.submit(next, items, None)
            yield item


def train(cache: Cache, out: Path, epochs: int, seed: int, minutes: float, rate: float, batch: int = 64) -> list[Any]:
    """Train the student; returns the averaged weights of the trunk, and keeps a snapshot of them every other minute.

    Reproducible as long as the time limit is not what ends the training.
    """
    import keras

    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    trunk = bundled.network(batch_norm=True, pooled=False, size=None)
    step, (optimiser, averaged) = training_step(trunk, cache, rate)
    per_epoch = len(cache.labels) // batch
    small = round(epochs * SMALL_EPOCHS) * per_epoch
    work = np.cumsum(np.r_[np.full(small, SMALL_COST), np.ones(epochs * per_epoch - small)])
    done = np.r_[0, work / work[-1]]
    started = snapshot = time.time()
    shown: list[Any] = []

    def batches() -> Iterator[tuple[int, float, tuple[np.ndarray, ...]]]:
        number, order = 0, rng.permutation(len(cache.labels))
        while number < len(work):
            late = (time.time() - started) / (60 * minutes)
            if late > done[number] and number < small <= np.searchsorted(done, late):
                number = small
            progress = max(done[number], late)
            if progress >= 1:
                return
            at = number % per_epoch * batch
            order = order if at else rng.permutation(len(cache.labels))
            size = SMALL_SIZE if number < small else bundled.INPUT_SIZE
            yield number, progress, cache.batch(order[at : at + batch], size, rng)
            number += 1

    for number, progress, data in ahead(batches()):
        optimiser.learning_rate.assign(rate * min(1.0, (number + 1) / 300) * (0.5 + 0.5 * np.cos(np.pi * progress)))
        shown.append(step(*data))
        if len(shown) == 200:
            means = np.mean([parts.numpy() for parts in shown], axis=0)
            log(f"train: {number + 1}/{len(work)} {progress:.3f} " + " ".join(f"{value:.3f}" for value in means))
            shown = []
        if time.time() - snapshot > 120:
            export(averaged, trunk, out / "snapshot.npz")
            snapshot = time.time()
    return export(averaged, trunk, out / "weights.npz")


def export(averaged: Sequence[Any], trunk: Any, file: Path) -> list[np.ndarray]:
    """Fold the normalisations into the convolutions and store the weights rounded to float16."""
    values = {weight.path: average.numpy() for weight, average in zip(trunk.weights, averaged, strict=True)}
    stored: dict[str, np.ndarray] = {}
    for layer in trunk.layers:
        if not layer.name.startswith("conv_"):
            continue
        norm = trunk.get_layer(layer.name.replace("conv", "norm"))
        parts = ("gamma", "beta", "moving_mean", "moving_variance")
        gamma, beta, mean, variance = (values[f"{norm.name}/{part}"] for part in parts)
        factor = gamma / np.sqrt(variance + norm.epsilon)
        stored[f"{layer.name}_kernel"] = (values[f"{layer.name}/kernel"] * factor).astype(np.float16)
        stored[f"{layer.name}_bias"] = (beta - mean * factor).astype(np.float16)
    np.savez_compressed(file, **stored)
    return list(stored.values())


# ------------------------------------------------------------------------------------------------ demo and evaluate

Features = dict[str, np.ndarray]


def network_features(weights: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from one uint8 picture to its feature vector, by the exported weights."""
    return lite_runner(bundled.build(weights))


def teacher_features(file: Path, size: int = 224) -> Callable[[np.ndarray], np.ndarray]:
    """The same for the teacher."""
    run = lite_runner(build_teacher(file, size)[0])
    return lambda pixels: run(pixels).mean(axis=(0, 1))


def compute(pictures: Sequence[Picture], run: Callable[[np.ndarray], np.ndarray], size: int) -> Features:
    """Feature vectors by SHA-256, from the standard preprocessing."""
    return {p.sha256: run(standard_view(open_rgb(p.path), size)).astype(np.float16) for p in pictures}


def logistic_regression(x: np.ndarray, y: np.ndarray, penalty: float = 1e-3, rounds: int = 300) -> tuple[Any, ...]:
    """Softmax regression on standardised features by accelerated gradient descent: mean, scale, weights, bias."""
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    rows = np.hstack([(x - mean) / scale / np.sqrt(x.shape[1]), np.ones((len(x), 1), x.dtype)])
    penalty_mask = np.r_[np.full(x.shape[1], penalty), 0.0].astype(x.dtype)[:, None]
    wanted = np.eye(int(y.max()) + 1, dtype=x.dtype)[y]
    step = 1 / (0.5 * np.linalg.norm(rows, 2) ** 2 / len(x) + penalty)
    weights = np.zeros((rows.shape[1], wanted.shape[1]), x.dtype)
    ahead = weights
    for number in range(rounds):
        scores = rows @ ahead
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        slope = rows.T @ (scores / scores.sum(axis=1, keepdims=True) - wanted) / len(x) + penalty_mask * ahead
        new = ahead - step * slope
        ahead = new + number / (number + 3) * (new - weights)
        weights = new
    return mean, scale * np.sqrt(x.shape[1]), weights[:-1], weights[-1]


def predict(head: tuple[Any, ...], x: np.ndarray) -> np.ndarray:
    """The class numbers that the head gives."""
    mean, scale, weights, bias = head
    return ((x - mean) / scale @ weights + bias).argmax(axis=1)


@dataclass(frozen=True)
class Task:
    """A classification to learn from a few pictures per class."""

    name: str
    per_class: int
    classes: dict[str, list[Picture]]


def tasks(pictures: Sequence[Picture]) -> list[Task]:
    """The tasks of the evaluation."""
    found: dict[str, dict[str, list[Picture]]] = defaultdict(lambda: defaultdict(list))
    for picture in pictures:
        found[picture.group][picture.label].append(picture)
    food, small = found["food"], found["food101_64px"]
    five = ("risotto", "tiramisu", "sushi", "ice_cream", "apple_pie")
    new = ("pizza", "carrot_cake", "cheesecake", "chocolate_cake", "red_velvet_cake")
    tiles = found["inspect_magtile"]
    defects = [p for label, group in tiles.items() if label != "MT_Free" for p in group]
    return [
        Task("five dishes, 50 per class", 50, {k: food[k] for k in five}),
        Task("eleven dishes, 50 per class", 50, {k: v for k, v in food.items() if len(v) >= 60}),
        Task("five dishes at 64 px, 50 per class", 50, {k: small[k] for k in five}),
        Task("five reserved dishes at 64 px, 50 per class", 50, {k: small[k] for k in new}),
        Task("cats and dogs, 50 per class", 50, dict(found["cats_dogs"])),
        Task("yoga poses, 15 per class", 15, dict(found["pose_yoga"])),
        Task("magnetic tiles OK or not, 50 per class", 50, {"ok": tiles["MT_Free"], "not ok": defects}),
        Task("steel defects, 25 per class", 25, dict(found["inspect_neudet"])),
    ]


def score(task: Task, features: Features, seen: set[str], seeds: int = 5) -> tuple[float, float, float]:
    """Mean accuracy on the rest of each class, its deviation over the draws, and the mean on unseen pictures only."""
    every, unseen = [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        parts: dict[str, list[tuple[Picture, int]]] = {"train": [], "test": []}
        for number, group in enumerate(task.classes.values()):
            order = rng.permutation(len(group))
            parts["train"] += [(group[i], number) for i in order[: task.per_class]]
            parts["test"] += [(group[i], number) for i in order[task.per_class :]]
        x, test = (np.stack([features[p.sha256] for p, _ in parts[n]]).astype(np.float32) for n in ("train", "test"))
        y, wanted = (np.array([number for _, number in parts[n]]) for n in ("train", "test"))
        right = predict(logistic_regression(x, y), test) == wanted
        fresh = np.array([p.sha256 not in seen for p, _ in parts["test"]])
        every.append(right.mean())
        unseen.append(right[fresh].mean() if fresh.any() else np.nan)
    return float(np.mean(every)), float(np.std(every)), float(np.nanmean(unseen))


def seen_pictures(pictures: Sequence[Picture]) -> set[str]:
    """SHA-256 of everything the backbone has seen, copies of another size included."""
    used = training_pictures(pictures)
    photos = {(p.label, p.number) for p in used if p.group.startswith("food")}
    copies = {p.sha256 for p in pictures if p.group.startswith("food") and (p.label, p.number) in photos}
    return copies | {p.sha256 for p in used}


def evaluate(data: Path, teacher_file: Path, out: Path, weights: Path) -> list[dict[str, Any]]:
    """Print and store the table of the tasks, student beside teacher."""
    pictures = list_pictures(data)
    work = tasks(pictures)
    wanted = list({p.sha256: p for task in work for group in task.classes.values() for p in group}.values())
    kept = out / "teacher_features.npz"
    if not kept.exists():
        np.savez(kept, **compute(wanted, teacher_features(teacher_file), 224))
    teacher = dict(np.load(kept))
    student = compute(wanted, network_features(weights), bundled.INPUT_SIZE)
    seen, table = seen_pictures(pictures), []
    for task in work:
        (s, s_dev, s_new), (t, t_dev, t_new) = score(task, student, seen), score(task, teacher, seen)
        table.append({"task": task.name, "student": s, "student_deviation": s_dev, "student_unseen": s_new})
        table[-1] |= {"teacher": t, "teacher_deviation": t_dev, "teacher_unseen": t_new, "ratio": s / t}
        log(f"{task.name:45s} {s:.3f} ({s_dev:.3f}) unseen {s_new:.3f} | {t:.3f} unseen {t_new:.3f} | {s / t:.3f}")
    (out / "evaluation.json").write_text(json.dumps(table, indent=1))
    return table


def demo_pictures(pictures: Sequence[Picture], dishes: Sequence[str] = DEMO_DISHES, most: int = 100) -> list[Picture]:
    """The pictures of the demo dishes.

    A dish that only exists at 64 px comes from there. Sharpness alone would then give it away, so the other dishes get
    small pictures too: a third as many as they have large ones, and no photo twice.
    """
    chosen = []
    for dish in dishes:
        large = [p for p in pictures if p.group == "food" and p.label == dish]
        known = {p.number for p in large}
        small = [p for p in pictures if p.group == "food101_64px" and p.label == dish and p.number not in known]
        chosen += large + small[: len(large) // 3 if large else most]
    return chosen


def cross_validate(x: np.ndarray, y: np.ndarray, folds: int = 5, seeds: int = 3) -> np.ndarray:
    """Right or wrong per picture, averaged over repeated cross-validation."""
    right = np.zeros(len(y))
    for seed in range(seeds):
        fold = np.random.default_rng(seed).permutation(len(y)) % folds
        for number in range(folds):
            test = fold == number
            head = logistic_regression(x[~test], y[~test])
            right[test] += predict(head, x[test]) == y[test]
    return right / seeds


def demo(data: Path, out: Path, weights: Path) -> None:
    """Store the demo features and say how well the dishes separate, before and after pizza is added."""
    pictures = list_pictures(data)
    chosen, seen = demo_pictures(pictures), seen_pictures(pictures)
    pizza = [p for p in pictures if p.group == "food" and p.label == "pizza"]
    found = compute(chosen + pizza, network_features(weights), bundled.INPUT_SIZE)
    features = np.stack([found[p.sha256] for p in chosen])
    np.savez_compressed(
        out / "demo_features.npz",
        sha256=np.array([p.sha256 for p in chosen]),
        category=np.array([p.label for p in chosen]),
        features=features,
    )
    for name, group in (("demo dishes", chosen), ("demo dishes and pizza", chosen + pizza)):
        x = np.stack([found[p.sha256] for p in group]).astype(np.float32)
        labels, y = np.unique([p.label for p in group], return_inverse=True)
        right = cross_validate(x, y)
        fresh = np.array([p.sha256 not in seen for p in group])
        log(f"{name}: {len(group)} pictures, accuracy {right.mean():.3f}, on unseen pictures {right[fresh].mean():.3f}")
        log("  " + ", ".join(f"{label} {right[y == number].mean():.2f}" for number, label in enumerate(labels)))


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the unpacked sets and cifar10.npz")
    parser.add_argument("--teacher", type=Path, required=True, help="int8 archive of the teacher's weights")
    parser.add_argument("--out", type=Path, required=True, help="folder for the stored views and the results")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=60, help="time limit of the training; ends it gracefully")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--stages", nargs="+", default=["prepare", "train", "demo", "evaluate"])
    parser.add_argument("--weights", type=Path, help="weights for demo and evaluate; default OUT/weights.npz")
    return parser.parse_args()


def main() -> None:
    """Run the chosen stages."""
    chosen = options()
    weights = chosen.weights or chosen.out / "weights.npz"
    cache = chosen.out / "cache"
    if "prepare" in chosen.stages:
        prepare(chosen.data, chosen.teacher, cache, chosen.seed)
    if "train" in chosen.stages:
        train(Cache.load(cache), chosen.out, chosen.epochs, chosen.seed, chosen.minutes, chosen.rate)
    if "demo" in chosen.stages:
        demo(chosen.data, chosen.out, weights)
    if "evaluate" in chosen.stages:
        evaluate(chosen.data, chosen.teacher, chosen.out, weights)


if __name__ == "__main__":
    main()

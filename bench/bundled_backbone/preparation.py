"""Stage `prepare`: every view, and what the teacher makes of exactly that view, kept on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bench.bundled_backbone.pictures import (
    TEACHER_SIZE,
    Picture,
    list_pictures,
    log,
    open_rgb,
    render,
    training_pictures,
)
from bench.bundled_backbone.teacher import build_teacher, lite_runner
from training.backbones import bundled

GRID = TEACHER_SIZE // 32
DENSE_DIMS = 192
# How many stored views each picture gets: the small sets of full-size pictures more than the large sets of small ones.
VIEWS = {"food": 8, "food101_64px": 3, "cifar10": 1, "cats_dogs": 10, "pose_yoga": 8}
VIEWS |= {"inspect_magtile": 6, "inspect_neudet": 6}


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

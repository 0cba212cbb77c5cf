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
# How many stored views each picture gets: the small sets of full-size pictures more than the large
# sets of small ones.
VIEWS = {"food": 10, "food101_64px": 2, "cifar10": 2, "cats_dogs": 60, "pose_yoga": 40}
VIEWS |= {"inspect_magtile": 6, "inspect_neudet": 6}
Source = Picture | np.ndarray


def jobs(data: Path, seed: int) -> tuple[list[tuple[Source, str, int]], list[str]]:
    """Every view to store, as (picture or pixels, class name, view number), shuffled; and the class
    names.
    """
    todo: list[tuple[Source, str, int]] = []
    for picture in training_pictures(list_pictures(data)):
        group = "food" if picture.group.startswith("food") else picture.group
        todo += [
            (picture, f"{group}/{picture.label}", view) for view in range(VIEWS[picture.group])
        ]
    cifar = np.load(data / "cifar10.npz")
    names = [str(name) for name in cifar["classes"]]
    for pixels, label in zip(cifar["x_train"], cifar["y_train"].ravel(), strict=True):
        todo += [(pixels, f"cifar10/{names[int(label)]}", view) for view in range(VIEWS["cifar10"])]
    order = np.random.default_rng(seed).permutation(len(todo))
    return [todo[i] for i in order], sorted({name for _, name, _ in todo})


def views(
    todo: Sequence[tuple[Source, str, int]], seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """The rendered views, for student and teacher, and the share of its own picture in each.

    Every other view of a picture is a blend with a view of any other picture, in which its own
    share is at least a half: what the teacher makes of blends says more about it than the pictures
    alone (function matching, Beyer et al. 2022, arXiv:2106.05237). Each view depends on its place
    in the list and the seed only.
    """
    for place, (source, _, view) in enumerate(todo):
        rng = np.random.default_rng([seed, place])
        pair, share = render(opened(source), view, rng), 1.0
        if view % 2:
            other = render(opened(todo[rng.integers(len(todo))][0]), view, rng)
            share = rng.uniform(0.5, 1.0)
            pair = blend(pair[0], other[0], share), blend(pair[1], other[1], share)
        yield *pair, share


def opened(source: Source) -> Image.Image:
    """The picture, from its file or its pixels."""
    return Image.fromarray(source) if isinstance(source, np.ndarray) else open_rgb(source.path)


def blend(own: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """Both pictures on top of each other."""
    return np.rint(share * own + (1 - share) * other.astype(np.float32)).astype(np.uint8)


def principal_axes(rows: np.ndarray, dims: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and half-whitening projection: strong directions are damped, weak ones stay weaker than
    they are.
    """
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
    sample = np.concatenate(
        [run(large).reshape(-1, 1280)[::5] for _, large, _ in views(todo[:2000], seed)]
    )
    mean, axes = principal_axes(sample, DENSE_DIMS)
    pixels = np.lib.format.open_memmap(
        cache / "pixels.npy", "w+", np.uint8, (count, bundled.INPUT_SIZE, bundled.INPUT_SIZE, 3)
    )
    dense = np.lib.format.open_memmap(
        cache / "dense.npy", "w+", np.float16, (count, GRID, GRID, DENSE_DIMS)
    )
    pooled: np.ndarray = np.zeros((count, 1280), np.float16)
    shares: np.ndarray = np.zeros(count, np.float32)
    for place, (small, large, share) in enumerate(views(todo, seed)):
        features = run(large)
        pixels[place] = small
        dense[place] = (features - mean) @ axes
        pooled[place] = features.mean(axis=(0, 1))
        shares[place] = share
        if place % 5000 == 0:
            log(f"prepare: {place} of {count}")
    index = {name: number for number, name in enumerate(names)}
    labels = np.array([index[name] for _, name, _ in todo], np.int32)
    np.savez(
        cache / "targets.npz", pooled=pooled, labels=labels, shares=shares, weight=weight, bias=bias
    )
    (cache / "done.json").write_text(json.dumps({"views": count, "classes": names}))
    log("prepare: done")

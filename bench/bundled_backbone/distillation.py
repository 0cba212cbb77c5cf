"""Stage `train`: the student learns from the stored views, and is exported.

Written for PyTorch, which on a CPU with bfloat16 takes 0.4 of TensorFlow's time for a step of this
network.

    python -m bench.bundled_backbone.distillation OUT EPOCHS SEED MINUTES RATE [START]

OUT/cache holds what `prepare` stored. OUT/weights.npz is written. START: exported weights to go on
from.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.bundled_backbone.pictures import log
from bench.bundled_backbone.preparation import GRID, principal_axes
from bench.bundled_backbone.trunk import Trunk, export, take_over
from training.backbones import bundled

POOLED_DIMS = 384
CALIBRATION_VIEWS = 1024
# The first epochs run on smaller pictures, at less than half the cost; the rest at the size of the
# product.
SMALL_SIZE = 64
SMALL_EPOCHS = 0.4
SMALL_COST = 0.45
DENSE_WEIGHT, POOLED_WEIGHT, SOFT_WEIGHT, HARD_WEIGHT = 1.0, 1.0, 0.2, 0.3


def grid_weights(cells: int) -> np.ndarray:
    """Averages that turn the rows of the stored feature maps into fewer rows, by overlap."""
    edges = np.linspace(0, GRID, cells + 1)
    overlap = np.minimum(edges[1:, None], np.arange(1, GRID + 1)) - np.maximum(
        edges[:-1, None], np.arange(GRID)
    )
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
    shares: np.ndarray
    classes: list[str]

    @classmethod
    def load(cls, cache: Path) -> Cache:
        """Read what `prepare` stored; whiten the pooled teacher features and turn them into soft
        ImageNet labels.
        """
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
            labels=stored["labels"].astype(np.int64),
            shares=stored["shares"],
            classes=json.loads((cache / "done.json").read_text())["classes"],
        )

    def batch(
        self, rows: np.ndarray, size: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, ...]:
        """The named views in that size, half of them mirrored, with slightly changed exposure."""
        rows = np.sort(rows)
        pixels, dense = self.pixels[rows], self.dense[rows].astype(np.float32)
        if size != bundled.INPUT_SIZE:
            smaller = (
                Image.fromarray(view).resize((size, size), Image.Resampling.BILINEAR)
                for view in pixels
            )
            pixels, grid = (
                np.stack([np.asarray(view) for view in smaller]),
                grid_weights(size // 16),
            )
            dense = np.einsum("ai,bj,nijc->nabc", grid, grid, dense, optimize=True)
        pixels = pixels.astype(np.float32)
        mirrored = rng.random(len(rows)) < 0.5
        pixels[mirrored], dense[mirrored] = pixels[mirrored, :, ::-1], dense[mirrored, :, ::-1]
        pixels *= rng.uniform(0.9, 1.1, (len(rows), 1, 1, 1)).astype(np.float32)
        pixels += rng.uniform(-12, 12, (len(rows), 1, 1, 3)).astype(np.float32)
        soft, pure = (
            self.probabilities[rows].astype(np.float32),
            (self.shares[rows] == 1).astype(np.float32),
        )
        return np.clip(pixels, 0, 255), dense, self.pooled[rows], soft, self.labels[rows], pure


class Student(nn.Module):
    """The trunk, and what is asked of it while it learns: the teacher's maps, features and labels,
    and the class.
    """

    def __init__(self, cache: Cache) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.dense = nn.Conv2d(bundled.FEATURES, cache.dense.shape[-1], 1)
        self.pooled = nn.Linear(bundled.FEATURES, cache.pooled.shape[-1])
        self.soft = nn.Linear(bundled.FEATURES, cache.probabilities.shape[-1])
        self.label = nn.Linear(bundled.FEATURES, len(cache.classes))
        self.dense_scale = 1 / float(
            np.var(cache.dense[::50].astype(np.float32), axis=(0, 1, 2)).mean()
        )
        self.pooled_scale = 1 / float(np.var(cache.pooled, axis=0).mean())

    def losses(self, batch: tuple[np.ndarray, ...]) -> torch.Tensor:
        """The four losses of a batch of `Cache.batch`. The class is asked of views that show one
        picture only.
        """
        pixels, dense, pooled, soft, labels, pure = map(torch.from_numpy, batch)
        with torch.autocast("cpu", torch.bfloat16):
            found = self.trunk(pixels.permute(0, 3, 1, 2))
            features = found.mean((2, 3))
            dense_out, pooled_out, soft_out = (
                self.dense(found),
                self.pooled(features),
                self.soft(features),
            )
            label_out = self.label(functional.dropout(features, 0.1, self.training))
        named = functional.cross_entropy(
            label_out.float(), labels, label_smoothing=0.1, reduction="none"
        )
        return torch.stack(
            [
                functional.mse_loss(dense_out.float(), dense.permute(0, 3, 1, 2))
                * self.dense_scale,
                functional.mse_loss(pooled_out.float(), pooled) * self.pooled_scale,
                functional.cross_entropy(soft_out.float(), soft),
                (named * pure).sum() / pure.sum().clamp(min=1),
            ]
        )


def decayed(student: nn.Module) -> list[dict[str, Any]]:
    """The weights, and beside them what is not drawn towards zero: biases and normalisations."""
    every = list(student.parameters())
    free = [weight for weight in every if weight.ndim == 1]
    return [
        {"params": [weight for weight in every if weight.ndim > 1]},
        {"params": free, "weight_decay": 0.0},
    ]


def ahead(items: Iterator[Any]) -> Iterator[Any]:
    """The same items, each one made in a second thread while the one before is in use."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = pool.submit(next, items, None)
            yield item


def train(
    cache: Cache,
    out: Path,
    epochs: int,
    seed: int,
    minutes: float,
    rate: float,
    *,
    start: Path | None = None,
    batch: int = 64,
) -> None:
    """Train the student and export the running average of its weights; a snapshot is kept every
    five minutes.

    With `start` it goes on from exported weights, on pictures of the product's size only.
    Reproducible as long as the time limit is not what ends the training.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    student = Student(cache).to(memory_format=torch.channels_last)
    if start:
        pixels, *_targets = cache.batch(np.arange(CALIBRATION_VIEWS), bundled.INPUT_SIZE, rng)
        take_over(student.trunk, start, torch.from_numpy(pixels).permute(0, 3, 1, 2))
    student.train()
    average = AveragedModel(
        student.trunk, multi_avg_fn=get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    optimiser = torch.optim.AdamW(decayed(student), rate, weight_decay=0.02, fused=True)
    weights = torch.tensor([DENSE_WEIGHT, POOLED_WEIGHT, SOFT_WEIGHT, HARD_WEIGHT])
    per_epoch = len(cache.labels) // batch
    small = 0 if start else round(epochs * SMALL_EPOCHS) * per_epoch
    work = np.cumsum(np.r_[np.full(small, SMALL_COST), np.ones(epochs * per_epoch - small)])
    done = np.r_[0, work / work[-1]]
    started = snapshot = time.time()
    shown: list[np.ndarray] = []

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
        for group in optimiser.param_groups:
            group["lr"] = (
                rate * min(1.0, (number + 1) / 300) * (0.5 + 0.5 * np.cos(np.pi * progress))
            )
        parts = student.losses(data)
        optimiser.zero_grad()
        (parts * weights).sum().backward()
        nn.utils.clip_grad_norm_(student.parameters(), 5.0)
        optimiser.step()
        average.update_parameters(student.trunk)
        shown.append(parts.detach().numpy())
        if len(shown) == 200:
            values = " ".join(f"{value:.3f}" for value in np.mean(shown, axis=0))
            log(f"train: {number + 1}/{len(work)} {progress:.3f} {values}")
            shown = []
        if time.time() - snapshot > 300:
            export(average.module, out / "snapshot.npz")
            snapshot = time.time()
    export(average.module, out / "weights.npz")


def main() -> None:
    out, (epochs, seed, minutes, rate), start = (
        Path(sys.argv[1]),
        map(float, sys.argv[2:6]),
        sys.argv[6:],
    )
    start_file = Path(start[0]) if start else None
    train(Cache.load(out / "cache"), out, int(epochs), int(seed), minutes, rate, start=start_file)


if __name__ == "__main__":
    main()

"""Stage `train`: the student learns from the stored views, and is exported."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.bundled_backbone.pictures import log
from bench.bundled_backbone.preparation import GRID, principal_axes
from training.backbones import bundled

POOLED_DIMS = 384
# Most epochs run on smaller pictures, at about a third of the cost; the rest at the size of the product.
SMALL_SIZE = 64
SMALL_EPOCHS = 0.8
SMALL_COST = 0.33


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

"""Stages `evaluate` and `demo`: heads on frozen features, student beside teacher, and the vectors
of the demo.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.bundled_backbone.pictures import (
    DEMO_DISHES,
    Picture,
    list_pictures,
    log,
    open_rgb,
    standard_view,
    training_pictures,
)
from bench.bundled_backbone.teacher import build_teacher, lite_runner
from training.backbones import bundled

Features = dict[str, np.ndarray]


def network_features(weights: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from one uint8 picture to its feature vector, by the exported weights."""
    return lite_runner(bundled.load_network(weights))


def teacher_features(file: Path, size: int = 224) -> Callable[[np.ndarray], np.ndarray]:
    """The same for the teacher."""
    run = lite_runner(build_teacher(file, size)[0])
    return lambda pixels: run(pixels).mean(axis=(0, 1))


def compute(
    pictures: Sequence[Picture], run: Callable[[np.ndarray], np.ndarray], size: int
) -> Features:
    """Feature vectors by SHA-256, from the standard preprocessing."""
    return {
        p.sha256: run(standard_view(open_rgb(p.path), size)).astype(np.float16) for p in pictures
    }


def logistic_regression(
    x: np.ndarray, y: np.ndarray, penalty: float = 1e-3, rounds: int = 300
) -> tuple[Any, ...]:
    """Softmax regression on standardised features by accelerated gradient descent: mean, scale,
    weights, bias.
    """
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
        slope = (
            rows.T @ (scores / scores.sum(axis=1, keepdims=True) - wanted) / len(x)
            + penalty_mask * ahead
        )
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
        Task(
            "magnetic tiles OK or not, 50 per class",
            50,
            {"ok": tiles["MT_Free"], "not ok": defects},
        ),
        Task("steel defects, 25 per class", 25, dict(found["inspect_neudet"])),
    ]


def accuracy(
    drawn: Sequence[tuple[Sequence[Picture], Sequence[Picture]]], features: Features
) -> np.ndarray:
    """Right or wrong for every picture asked about, of a head that learned from the others: pairs
    of one class each.
    """
    (x, y), (asked, wanted) = (_rows([pair[part] for pair in drawn], features) for part in (0, 1))
    return predict(logistic_regression(x, y), asked) == wanted


def _rows(
    classes: Sequence[Sequence[Picture]], features: Features
) -> tuple[np.ndarray, np.ndarray]:
    vectors = np.stack([features[p.sha256] for group in classes for p in group]).astype(np.float32)
    return vectors, np.repeat(np.arange(len(classes)), [len(group) for group in classes])


def draw(
    group: Sequence[Picture], count: int, rng: np.random.Generator
) -> tuple[list[Picture], list[Picture]]:
    """So many pictures of a class to learn from, and the rest of them to ask about."""
    order = rng.permutation(len(group))
    return [group[i] for i in order[:count]], [group[i] for i in order[count:]]


def score(
    task: Task, features: Features, seen: set[str], seeds: int = 5
) -> tuple[float, float, float]:
    """Mean accuracy on the rest of each class, its deviation over the draws, and the mean on unseen
    pictures only.
    """
    every, unseen = [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        drawn = [draw(group, task.per_class, rng) for group in task.classes.values()]
        right = accuracy(drawn, features)
        fresh = np.array([p.sha256 not in seen for _, asked in drawn for p in asked])
        every.append(right.mean())
        unseen.append(right[fresh].mean() if fresh.any() else np.nan)
    return float(np.mean(every)), float(np.std(every)), float(np.nanmean(unseen))


def score_of_unseen(
    task: Task, features: Features, seen: set[str], seeds: int = 20
) -> tuple[int, float]:
    """How many pictures of each class a head learns from, and its mean accuracy, where all pictures
    are unseen ones.

    Half of the smallest class at most. It is the only score that a backbone cannot better by
    knowing pictures by heart.
    """
    fresh = [[p for p in group if p.sha256 not in seen] for group in task.classes.values()]
    count = min(task.per_class, min(map(len, fresh)) // 2)
    found = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        found.append(accuracy([draw(group, count, rng) for group in fresh], features).mean())
    return count, float(np.mean(found))


def seen_pictures(pictures: Sequence[Picture]) -> set[str]:
    """SHA-256 of everything the backbone has seen, copies of another size included."""
    used = training_pictures(pictures)
    photos = {(p.label, p.number) for p in used if p.group.startswith("food")}
    copies = {
        p.sha256 for p in pictures if p.group.startswith("food") and (p.label, p.number) in photos
    }
    return copies | {p.sha256 for p in used}


def evaluate(data: Path, teacher_file: Path, out: Path, weights: Path) -> list[dict[str, Any]]:
    """Print and store the table of the tasks, student beside teacher."""
    pictures = list_pictures(data)
    work = tasks(pictures)
    wanted = list(
        {p.sha256: p for task in work for group in task.classes.values() for p in group}.values()
    )
    kept = out / "teacher_features.npz"
    if not kept.exists():
        np.savez(kept, **compute(wanted, teacher_features(teacher_file), 224))
    teacher = dict(np.load(kept))
    student = compute(wanted, network_features(weights), bundled.INPUT_SIZE)
    seen, table = seen_pictures(pictures), []
    for task in work:
        (s, s_dev, s_new), (t, t_dev, t_new) = (
            score(task, student, seen),
            score(task, teacher, seen),
        )
        (count, s_all), (_, t_all) = (
            score_of_unseen(task, student, seen),
            score_of_unseen(task, teacher, seen),
        )
        table.append(
            {"task": task.name, "student": s, "student_deviation": s_dev, "student_unseen": s_new}
        )
        table[-1] |= {
            "teacher": t,
            "teacher_deviation": t_dev,
            "teacher_unseen": t_new,
            "ratio": s / t,
        }
        table[-1] |= {
            "all_unseen_per_class": count,
            "student_all_unseen": s_all,
            "teacher_all_unseen": t_all,
        }
        log(
            f"{task.name:45s} {s:.3f} ({s_dev:.3f}) unseen {s_new:.3f} | {t:.3f} unseen "
            f"{t_new:.3f} | {s / t:.3f}"
        )
        log(f"    all unseen, {count} per class: {s_all:.3f} | {t_all:.3f} | {s_all / t_all:.3f}")
    (out / "evaluation.json").write_text(json.dumps(table, indent=1))
    return table


def demo_pictures(
    pictures: Sequence[Picture], dishes: Sequence[str] = DEMO_DISHES, most: int = 100
) -> list[Picture]:
    """The pictures of the demo dishes.

    A dish that only exists at 64 px comes from there. Sharpness alone would then give it away, so
    the other dishes get small pictures too: a third as many as they have large ones, and no photo
    twice.
    """
    chosen = []
    for dish in dishes:
        large = [p for p in pictures if p.group == "food" and p.label == dish]
        known = {p.number for p in large}
        small = [
            p
            for p in pictures
            if p.group == "food101_64px" and p.label == dish and p.number not in known
        ]
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
    """Store the demo features and say how well the dishes separate, before and after pizza is
    added.
    """
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
        log(
            f"{name}: {len(group)} pictures, accuracy {right.mean():.3f}, on unseen pictures "
            f"{right[fresh].mean():.3f}"
        )
        log(
            "  "
            + ", ".join(
                f"{label} {right[y == number].mean():.2f}" for number, label in enumerate(labels)
            )
        )

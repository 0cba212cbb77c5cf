"""How often the gate promotes a worse model, and stops a better one: `python -m bench.gate FOLDER`.

FOLDER holds a folder of pictures per category, with some hundred in each. Half a hundred of each
category are learned from, few or many at a time, which makes versions of different worth; the
others, which none has seen, say what each is really worth. Then the gate is shown test splits drawn
from them. The rule of before, "at least as many right", stands beside it.
"""

import argparse
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import django
import numpy as np

LEARNED_FROM = 50  # per category
PER_CATEGORY = (4, 6, 8, 12, 20, 40)
VERSIONS = 6  # of each
TEST_PICTURES = (20, 50, 100, 200, 400)
DRAWS = 400
MARGIN = 0.05  # the default of a project
# By what the candidate's accuracy is above the live model's, in points
BUCKETS = {
    "worse by 5 to 9": (-9, -5),
    "worse by 2 to 4": (-4, -2),
    "alike (less than 1)": (-1, 1),
    "better by 2 to 4": (2, 4),
    "better by 5 to 9": (5, 9),
}


@dataclass(frozen=True)
class VersionPair:
    """Whether the live model and a candidate had each picture that neither learned from right."""

    live: np.ndarray
    candidate: np.ndarray

    @property
    def gain(self) -> float:
        """Return by how many points the candidate is better."""
        return 100 * float(self.candidate.mean() - self.live.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backbone", default="lite0")
    parser.add_argument(
        "--check", action="store_true", help="fail where a model worse by the margin often passes"
    )
    options = parser.parse_args()
    django.setup()
    labels, marks = version_answers(options.folder, options.backbone)
    print(f"{marks.shape[0]} versions, {marks.shape[1]} pictures that none has learned from")
    print(f"accuracies {marks.mean(axis=1).min():.2f} to {marks.mean(axis=1).max():.2f}\n")
    print("| candidate | test pictures | promoted | worse | not enough evidence | rule of before |")
    print("|---|--:|--:|--:|--:|--:|")
    pairs = [VersionPair(marks[a], marks[b]) for a, b in permutations(range(len(marks)), 2)]
    too_often = False
    for name, (low, high) in BUCKETS.items():
        chosen = [pair for pair in pairs if low <= pair.gain <= high]
        for pictures in TEST_PICTURES:
            if not chosen or pictures > marks.shape[1]:
                continue
            shares = simulate(chosen, labels, pictures)
            print(f"| {name} | {pictures} | " + " | ".join(f"{x:.0f} %" for x in shares) + " |")
            # One of twenty, and what chance adds to so many draws
            too_often |= high <= -100 * MARGIN and shares[0] > 5 + 3
    sys.exit(1 if options.check and too_often else 0)


def version_answers(folder: Path, backbone: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the category of each unseen picture, (N,), and what each version had right, (V, N)."""
    from training import backbones
    from training.studies import learning_curves

    with tempfile.TemporaryDirectory() as kept:
        collection = learning_curves.collect_pictures(folder, Path(kept))
        found = backbones.FROZEN[backbone]({})
        vectors = learning_curves.collection_vectors(found, collection).matrix
    labels = collection.labels
    pool = learning_curves.draw_sample(labels, LEARNED_FROM, seed=0)
    learned, learned_labels = vectors[pool.learn], labels[pool.learn]
    marks = []
    for number in PER_CATEGORY:
        for seed in range(VERSIONS):
            drawn = learning_curves.draw_sample(learned_labels, number, seed)
            head = learning_curves.fit_draw_head(
                learned, learned_labels, drawn, len(collection.names)
            )
            marks.append(head.logits(vectors[pool.ask]).argmax(axis=1) == labels[pool.ask])
    return labels[pool.ask], np.array(marks)


def simulate(pairs: list[VersionPair], labels: np.ndarray, pictures: int) -> list[float]:
    """Return in how many of 100 cases the gate promotes, refuses and cannot tell; then how often
    the rule of before promotes.
    """
    from training.runs import gate
    from training.runs.gate import ComparisonVerdict, PairedAnswer

    chance = random.Random(pictures)  # noqa: S311
    seen: Counter[str] = Counter()
    for _draw in range(DRAWS):
        pair = chance.choice(pairs)
        rows = chance.sample(range(len(labels)), pictures)
        answers = [
            PairedAnswer(str(labels[row]), bool(pair.live[row]), bool(pair.candidate[row]))
            for row in rows
        ]
        seen[gate.compare_answers(answers, MARGIN).verdict] += 1
        seen["before"] += pair.candidate[rows].sum() >= pair.live[rows].sum()
    wanted = (ComparisonVerdict.NOT_WORSE, ComparisonVerdict.WORSE, ComparisonVerdict.UNCLEAR)
    return [100 * seen[verdict] / DRAWS for verdict in (*wanted, "before")]


if __name__ == "__main__":
    main()

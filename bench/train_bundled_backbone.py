"""Train the small image backbone that ships with the product, from random weights, on a CPU.

The backbone is a student: it learns to reproduce the features of a larger ImageNet network (the
teacher) on pictures of food, animals, objects, poses and surfaces, and to name their classes at the
same time. Stages, each kept on disk:

    prepare   fixed augmented views of every training picture, with the teacher's features of
    exactly those views
    train     the student on the stored views (distillation plus class labels), by PyTorch in an
    environment of its own
    export    BatchNorm folded into the convolutions, weights rounded to float16, one array per
    layer weight
    demo      feature vectors of the pictures of the demo dishes, computed by the exported network
    evaluate  logistic regression on frozen features, student beside teacher, on the same pictures

    python bench/train_bundled_backbone.py --data DIR --teacher FILE.npz --out DIR

DIR holds the unpacked sets as <set>/<class>/<file>, and cifar10.npz. The training leaves out a
held-out part of the pictures, split by the SHA-256 of their bytes (see `Picture.bucket`), and pizza
and every dish with "cake" in its name altogether, because the product shows adding them as new
categories. The evaluation reads them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import environments
from bench.bundled_backbone.evaluation import demo, evaluate
from bench.bundled_backbone.preparation import prepare

TORCH = Path(__file__).parent / "bundled_backbone" / "torch.txt"


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with the unpacked sets and cifar10.npz"
    )
    parser.add_argument(
        "--teacher", type=Path, required=True, help="int8 archive of the teacher's weights"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the stored views and the results"
    )
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--minutes", type=float, default=600, help="time limit of the training; ends it gracefully"
    )
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument(
        "--start", type=Path, help="exported weights that the training goes on from"
    )
    parser.add_argument("--stages", nargs="+", default=["prepare", "train", "demo", "evaluate"])
    parser.add_argument(
        "--weights", type=Path, help="weights for demo and evaluate; default OUT/weights.npz"
    )
    return parser.parse_args()


def main() -> None:
    """Run the chosen stages."""
    chosen = options()
    weights = chosen.weights or chosen.out / "weights.npz"
    cache = chosen.out / "cache"
    if "prepare" in chosen.stages:
        prepare(chosen.data, chosen.teacher, cache, chosen.seed)
    if "train" in chosen.stages:
        numbers = (chosen.epochs, chosen.seed, chosen.minutes, chosen.rate)
        module, start = (
            "bench.bundled_backbone.distillation",
            [chosen.start] if chosen.start else [],
        )
        command = [environments.python(TORCH), "-m", module, chosen.out, *map(str, numbers), *start]
        subprocess.run(command, check=True, cwd=environments.ROOT)
    if "demo" in chosen.stages:
        demo(chosen.data, chosen.out, weights)
    if "evaluate" in chosen.stages:
        evaluate(chosen.data, chosen.teacher, chosen.out, weights)


if __name__ == "__main__":
    main()

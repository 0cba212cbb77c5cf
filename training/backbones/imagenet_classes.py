"""The 1,000 categories that networks taught on ImageNet tell apart: their numbers and names.

`imagenet_classes.txt` has a class a line, in the order of the networks' outputs, each with its
names from WordNet, the usual one first. Source: the class list of the ILSVRC 2012 classification
task (Russakovsky et al. 2015, arXiv:1409.0575, image-net.org), which is that of TensorFlow's models
without their class "background".
"""

from functools import cache
from pathlib import Path

from common.names import comparison_key

COUNT = 1000


@cache
def class_names() -> tuple[tuple[str, ...], ...]:
    """Return by class number all names of it, the usual one first."""
    lines = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    return tuple(tuple(line.split(", ")) for line in lines)


def search_classes(text: str) -> list[int]:
    """Return the classes with this in one of their names, in their order; all for an empty text."""
    wanted = comparison_key(text)
    return [
        number
        for number, names in enumerate(class_names())
        if any(wanted in comparison_key(name) for name in names)
    ]


def find_classes(name: str) -> list[int]:
    """Return the classes of exactly this name: none, one, or of a few names two (crane, maillot).

    "ice_cream" and "Ice cream" are the same.
    """
    wanted = comparison_key(name.replace("_", " "))
    return [
        number for number, names in enumerate(class_names()) if wanted in map(comparison_key, names)
    ]

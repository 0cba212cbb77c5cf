"""Prints figures of the code's structure: `python -m scripts.structure [FOLDER]`.

Tests, migrations and `bench/` are left out. Calls are followed by name within the tree, so the
depth of a call chain is an estimate: good for a comparison of two checkouts, not as a figure of
its own.
"""

import ast
import io
import statistics
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

FOLDERS = (
    "accounts",
    "classifr",
    "common",
    "customvision",
    "notifications",
    "predictions",
    "review",
    "training",
)
LEFT_OUT = {"tests", "migrations"}
MAX_COLUMNS = 100

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(root: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            if not LEFT_OUT.intersection(path.parts):
                yield path


def called_names(node: ast.AST) -> Counter[str]:
    """Count the names that are used below a node, whether called or passed on."""
    names = Counter(each.id for each in ast.walk(node) if isinstance(each, ast.Name))
    names.update(each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute))
    return names


def functions(tree: ast.AST) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def call_depths(defined: dict[str, list[Function]]) -> list[int]:
    """Return for each function how many functions of the tree its longest chain of calls enters.

    A name that several functions bear leads nowhere: which of them is meant is not known.
    """
    sole = {name: found[0] for name, found in defined.items() if len(found) == 1}

    in_progress: set[str] = set()  # a chain that returns to itself is cut there

    @cache
    def depth(name: str) -> int:
        in_progress.add(name)
        called = [each for each in called_names(sole[name]) if each in sole]
        deepest = max((depth(each) for each in called if each not in in_progress), default=0)
        in_progress.discard(name)
        return 1 + deepest

    return [depth(name) for name in sole]


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
    sources = {path: path.read_text() for path in modules(root)}
    trees = {path: ast.parse(source) for path, source in sources.items()}
    lines = [line for source in sources.values() for line in source.splitlines()]
    comments = sum(
        token.type == tokenize.COMMENT and "noqa" not in token.string
        for source in sources.values()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
    )
    public = [
        node.name
        for tree in trees.values()
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not is_private(node.name)
    ]
    private, used_once = 0, 0
    for tree in trees.values():
        uses = called_names(tree)
        names = [node.name for node in functions(tree) if is_private(node.name)]
        private += len(names)
        used_once += sum(uses[name] == 1 for name in names)
    defined: dict[str, list[Function]] = {}
    for tree in trees.values():
        for node in functions(tree):
            defined.setdefault(node.name, []).append(node)
    depths = sorted(call_depths(defined))
    one_word = sum("_" not in name for name in public)
    long = sum(len(line) > MAX_COLUMNS for line in lines)
    print(f"modules                          {len(trees)}")
    print(f"lines                            {len(lines)}")
    print(f"lines over {MAX_COLUMNS} columns           {long} ({100 * long / len(lines):.1f} %)")
    print(f"comments per 100 lines           {100 * comments / len(lines):.1f}")
    print(f"public functions                 {len(public)}")
    print(f"  of one word                    {one_word} ({100 * one_word / len(public):.0f} %)")
    print(f"private functions                {private}")
    print(f"  used once                      {used_once} ({100 * used_once / private:.0f} %)")
    deciles = statistics.quantiles(depths, n=10)
    print(f"call depth, median / 90 %       {statistics.median(depths):.0f} / {deciles[8]:.0f}")


if __name__ == "__main__":
    main()

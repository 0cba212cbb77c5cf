"""Which code made a model: the release, a digest of the sources that training goes through, and
the commit of a checkout.
"""

import hashlib
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from django.conf import settings

# What decides the bytes of a model: how samples are read, and everything that learns from them
SOURCES = (
    "common/media",
    "predictions/predictors",
    "training/backbones",
    "training/data",
    "training/features",
    "training/trainers",
)


@cache
def code_version() -> dict[str, str]:
    """Return `version`, `digest` and, in a checkout of git, `commit` of the code of this process.

    Found once: a process goes on with the code that it began with.
    """
    root = Path(settings.BASE_DIR)
    facts = {"version": _release(root), "digest": _sources_digest(root), "commit": _commit(root)}
    return {name: value for name, value in facts.items() if value}


def _release(root: Path) -> str:
    try:
        return tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    except (OSError, KeyError, ValueError):
        pass
    try:
        return version("classifr")  # of an installed wheel
    except PackageNotFoundError:
        return ""


def _sources_digest(root: Path) -> str:
    lines = (
        f"{path.relative_to(root).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for path in _sources(root)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    for folder in SOURCES:
        for path in sorted((root / folder).rglob("*.py")):
            if "tests" not in path.parts:
                yield path


def _commit(root: Path) -> str:
    """Return the commit that is checked out, read from git's own files: git need not be here."""
    try:
        folder = root / ".git"
        if folder.is_file():  # a further working tree
            folder = root / folder.read_text().removeprefix("gitdir:").strip()
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        common = folder / "commondir"
        shared = folder / common.read_text().strip() if common.exists() else folder
        if (shared / name).exists():
            return (shared / name).read_text().strip()
        packed = (line.split() for line in (shared / "packed-refs").read_text().splitlines())
        return next((line[0] for line in packed if line[1:] == [name]), "")
    except OSError:
        return ""

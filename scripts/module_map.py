"""Write the map of all modules at the end of ARCHITECTURE.md, from their own docstrings.

    python -m scripts.module_map            write it anew
    python -m scripts.module_map --check    fail where it is not what the modules say

A module that Django names (apps.py, urls.py, a command) says by its name what it is and may go
without a docstring; any other needs one.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "ARCHITECTURE.md"
WALLS = (
    "common",
    "accounts",
    "predictions",
    "notifications",
    "review",
    "training",
    "customvision",
    "classifr",
)
BEGIN, END = "<!-- map: begin -->", "<!-- map: end -->"
NAMED_BY_DJANGO = {"apps", "urls", "wsgi", "admin", "models", "forms", "serializers", "checks"}


def main() -> None:
    text = DOCUMENT.read_text()
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    lines = [line for wall in WALLS for line in section(wall)]
    new = text[:start] + "\n\n" + "\n".join(lines) + "\n\n" + text[end:]
    if "--check" not in sys.argv:
        DOCUMENT.write_text(new)
    elif new != text:
        sys.exit("The map in ARCHITECTURE.md is not up to date: python -m scripts.module_map")


def section(wall: str) -> Iterator[str]:
    """Yield the lines of one wall: a heading, then a list of its modules by folder."""
    yield f"### `{wall}/`"
    yield ""
    for path in modules(wall):
        if sentence := first_sentence(path):
            yield f"- `{path.relative_to(ROOT / wall)}`: {sentence}"
        elif path.stem not in NAMED_BY_DJANGO and path.parent.name != "commands":
            sys.exit(f"{path.relative_to(ROOT)} needs a docstring that says what it is for.")
    yield ""


def modules(wall: str) -> list[Path]:
    """Return the modules of a wall, folder by folder, without tests, migrations, empty packages."""
    found = [
        path
        for path in (ROOT / wall).rglob("*.py")
        if not {"tests", "migrations"} & set(path.parts) and path.read_text().strip()
    ]
    return sorted(found, key=lambda path: (path.parent.parts, path.name))


def first_sentence(path: Path) -> str:
    """Return the first sentence of a module's docstring, on one line and without its full stop."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    sentence, _stop, _rest = paragraph.partition(". ")
    return sentence.removesuffix(".").removesuffix(":")


if __name__ == "__main__":
    main()

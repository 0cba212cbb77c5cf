"""The documents keep up with the code: settings, commands, apps and API operations."""

import ast
import builtins
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands

ROOT = Path(settings.BASE_DIR)
OWN_APPS = {
    "accounts",
    "predictions",
    "review",
    "training",
    "customvision",
    "customvision.importer",
    "classifr",
    "common",
}
# Modules that read the environment, and the functions they do it with
READERS = [
    "classifr/settings.py",
    "classifr/gunicorn.py",
    "classifr/supervision.py",
    "common/processes.py",
]
NOT_FOR_PEOPLE = {"BIND"}  # set by `serve`


def variables() -> set[str]:
    """The names of all environment variables that the settings and the servers read."""
    found: set[str] = set()
    for module in READERS:
        for node in ast.walk(ast.parse((ROOT / module).read_text())):
            if (
                not isinstance(node, ast.Call)
                or not node.args
                or not isinstance(node.args[0], ast.Constant)
            ):
                continue
            function = ast.unparse(node.func)
            if function == "secret" or function.startswith("env.") or function == "os.environ.get":
                found.add(str(node.args[0].value))
    aliases = {f"{alias.upper()}_STORAGE" for alias in ("uploads", "misclassified", "models")}
    return (found | aliases) - NOT_FOR_PEOPLE


def commands() -> list[str]:
    return sorted(name for name, app in get_commands().items() if app in OWN_APPS)


def mentions(text: str, word: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9_]){re.escape(word)}(?![A-Za-z0-9_])", text) is not None


def test_variables_are_found():
    assert {
        "DATABASE_URL",
        "SECRET_KEY",
        "UPLOADS_STORAGE",
        "WEB_CONCURRENCY",
        "PORT",
    } <= variables()


@pytest.mark.parametrize("document", ["README.md", ".env.example"])
def test_every_setting_is_documented(document):
    text = (ROOT / document).read_text()
    assert sorted(name for name in variables() if not mentions(text, name)) == []


def test_no_documented_setting_is_gone():
    table = re.findall(r"^\| `([A-Z][A-Z0-9_]+)`", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert table, "README.md has a table of settings"
    read_elsewhere = {"CLASSIFR_DEMO_PASSWORD", "CLASSIFR_USER_PASSWORD", "PYTHON"}
    sources = "".join(path.read_text() for path in ROOT.glob("classifr/*.py"))
    gone = [
        name for name in table if name not in variables() | read_elsewhere and name not in sources
    ]
    assert gone == []


def test_every_command_is_documented():
    text = (ROOT / "README.md").read_text()
    assert [name for name in commands() if f"manage.py {name}" not in text] == []


def test_every_folder_is_in_the_architecture():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    folders = [path.name for path in ROOT.iterdir() if path.is_dir() and any(path.glob("**/*.py"))]
    ours = [
        name for name in folders if not name.startswith(".") and name not in {"var", "node_modules"}
    ]
    assert [name for name in ours if f"{name}/" not in text] == []


def test_every_module_that_the_architecture_names_is_there():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(
        re.findall(
            r"`((?:common|accounts|predictions|notifications|review|training|customvision|classifr|scripts|bench)"
            r"/[\w/]+\.py)",
            text,
        )
    )
    assert named
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_every_picture_and_file_that_the_documents_link_to_is_there():
    gone = []
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", document.read_text()):
            if not (document.parent / target).exists():
                gone.append(f"{document.name}: {target}")
    assert gone == []


def test_every_make_target_is_explained():
    text = (ROOT / "Makefile").read_text()
    declared = " ".join(re.findall(r"^\.PHONY:(.*)$", text, re.MULTILINE)).split()
    explained = set(re.findall(r"^([a-z-]+):.*##", text, re.MULTILINE))
    assert set(declared) <= explained


def test_every_error_that_a_docstring_says_is_raised_exists():
    trees = {
        path: ast.parse((ROOT / path).read_text())
        for app in OWN_APPS - {"customvision.importer"}
        for path in (ROOT / app).rglob("*.py")
        if not {"tests", "migrations"} & set(path.parts)
    }
    known = {*vars(builtins), "InvalidStorageError"}  # Django's, which nobody here needs to import
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                known.add(node.name)
            elif isinstance(node, ast.ImportFrom):
                known |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Attribute):
                known.add(node.attr)
    unknown = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, tree in trees.items()
        for name in raised_by_docstrings(tree)
        if name.split(".")[-1] not in known
    ]
    assert unknown == []


def raised_by_docstrings(tree: ast.Module) -> set[str]:
    """The errors that a module's docstrings name, in a section `Raises:` or after the word."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            text = ast.get_docstring(node) or ""
            for section in re.findall(r"^Raises:\n((?: +.*\n?)+)", text, re.MULTILINE):
                for names in re.findall(r"^ {4}([A-Z][\w., ]*?):", section, re.MULTILINE):
                    found |= set(names.split(", "))
            found |= set(re.findall(r"\bRaises ([A-Z]\w+)", text))
    return found


def test_an_error_that_is_gone_would_be_noticed():
    tree = ast.parse(
        'def f():\n    """Do it.\n\n    Raises:\n        Gone, Lost: never.\n    """\n'
    )
    assert raised_by_docstrings(tree) == {"Gone", "Lost"}

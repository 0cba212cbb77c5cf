"""The walls of ARCHITECTURE.md, enforced: imports and foreign keys point down."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
# From the ground up. `common` is the ground, the rest of `classifr` the roof.
FLOORS = [
    "common",
    "accounts",
    "predictions",
    "notifications",
    "review",
    "training",
    "customvision",
    "classifr",
]
ADAPTERS = [
    "predictions/predictors",
    "training/trainers",
    "training/backbones",
    "customvision/trainer",
    "customvision/predictor.py",
    "customvision/exported/predictor.py",
    "customvision/exported/engines.py",
    "customvision/exported/pixels.py",
]
HEAVY = {"tensorflow", "keras", "tf_keras"}
SAY_NOTHING = {"utils", "util", "helpers", "misc", "services", "selectors"}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def modules(*, with_tests: bool = False) -> Iterator[tuple[str, ast.Module]]:
    """Every module of the rooms: its path from the root, and its syntax tree."""
    for top in FLOORS:
        for path in sorted((ROOT / top).rglob("*.py")):
            if with_tests or "tests" not in path.parts:
                yield str(path.relative_to(ROOT)), parsed(path)


def floor_of(name: str) -> int | None:
    """Return on which floor a dotted name or a path lies; None for what is not ours."""
    dotted = name.removesuffix(".py").replace("/", ".")
    for floor, room in enumerate(FLOORS):
        if dotted == room or dotted.startswith(f"{room}."):
            return floor
    return None


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The dotted names that a module imports anywhere, functions included, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def imported_at_once(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The dotted names imported as soon as the module is; not what only type checkers read."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(node)
        waiting.extend(ast.iter_child_nodes(node))


def test_imports_point_down():
    upward = []
    for path, tree in modules():
        own = floor_of(path)
        for name, line in imported(tree):
            other = floor_of(name)
            if own is not None and other is not None and other > own:
                upward.append(f"{path}:{line} {FLOORS[own]} -> {FLOORS[other]} ({name})")
    assert upward == []


def test_an_upward_import_would_be_noticed():
    names = dict(
        imported(
            ast.parse("from training.data import datasets\ndef f():\n    import review.queue\n")
        )
    )
    assert set(names) == {"training.data.datasets", "review.queue"}
    assert [
        floor_of(name) for name in ("common/jobs.py", "review.queue", "training.data.datasets")
    ] == [0, 4, 5]


def in_circles(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Return the modules, by dotted name, that are imported only with each other: each with those
    of them that it imports as soon as it is imported itself.
    """
    needs: dict[str, set[str]] = {}
    for module, tree in trees.items():
        names = [name for name, _line in imported_at_once(tree)]
        homes = {name if name in trees else name.rpartition(".")[0] for name in names}
        needs[module] = homes & trees.keys() - {module}
    while True:  # whatever needs nothing that is left, or is needed by nothing, is in no circle
        needed = set().union(*needs.values())
        free = {module for module, others in needs.items() if not others or module not in needed}
        if not free:
            return needs
        needs = {module: others - free for module, others in needs.items() if module not in free}


def test_no_modules_import_each_other():
    trees = {
        path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): tree
        for path, tree in modules()
    }
    assert in_circles(trees) == {}


def test_a_circle_of_imports_would_be_noticed():
    trees = {
        "review.a": ast.parse("from review import b"),
        "review.b": ast.parse("from review.c import name"),
        "review.c": ast.parse("import review.a, review.d"),
        "review.d": ast.parse("def f():\n    from review import a"),
        "review.e": ast.parse("from review import a"),
    }
    assert in_circles(trees) == {
        "review.a": {"review.b"},
        "review.b": {"review.c"},
        "review.c": {"review.a"},
    }


def test_relative_imports_are_not_used():
    relative = [
        f"{path}:{node.lineno}"
        for path, tree in modules(with_tests=True)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_foreign_keys_point_down():
    upward = []
    for model in apps.get_models():
        own = floor_of(model.__module__)
        for field in model._meta.get_fields():
            if (
                own is None
                or not field.is_relation
                or field.auto_created
                or not isinstance(field.related_model, type)
            ):
                continue
            other = floor_of(field.related_model.__module__)
            if other is not None and other > own:
                upward.append(f"{model.__name__}.{field.name} -> {field.related_model.__name__}")
    assert upward == []


def test_heavy_libraries_are_imported_by_training_alone_and_only_when_it_works():
    wrong = [
        f"{path}:{line} {name}"
        for path, tree in modules()
        for name, line in imported(tree)
        if name.split(".")[0] in HEAVY and not path.startswith("training/")
    ]
    wrong += [
        f"{path}:{line} {name} at import"
        for path, tree in modules()
        for name, line in imported_at_once(tree)
        if name.split(".")[0] in HEAVY
    ]
    assert wrong == []


def test_a_web_process_never_imports_tensorflow():
    assert imported_by_a_web_process(HEAVY) == ""


def test_a_web_process_pays_for_the_sdk_of_custom_vision_only_when_it_asks():
    assert imported_by_a_web_process({"msrest", "azure.cognitiveservices"}) == ""


def imported_by_a_web_process(names: set[str]) -> str:
    """Return which of these modules are loaded once pages are known and settings checked."""
    program = (
        "import sys, classifr.wsgi; from django.urls import get_resolver; "
        "get_resolver().url_patterns;"
        "from django.core.checks import run_checks; run_checks();"
        f"print(', '.join(sorted({names!r} & set(sys.modules))))"
    )
    environment = {"DJANGO_SETTINGS_MODULE": "classifr.tests.settings", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("folder", ADAPTERS)
def test_adapters_know_neither_rows_nor_requests(folder):
    known = [
        f"{path}:{line} {name}"
        for path, tree in modules()
        if path.startswith(folder)
        for name, line in imported(tree)
        if ".models" in name or name.startswith(("django.db", "django.http", "rest_framework"))
    ]
    assert known == []


@pytest.mark.parametrize(
    ("row", "related", "home"),
    [
        ("Decision", "decisions", "review/decisions.py"),
        ("Feedback", "feedback", "predictions/feedback.py"),
    ],
)
def test_what_people_said_is_written_in_one_place_which_has_it_flushed(row, related, home):
    writers = {
        path for path, tree in modules() for node in ast.walk(tree) if makes(node, row, related)
    }
    assert writers == {home}


@pytest.mark.parametrize(
    "call",
    [
        "Decision(sample=sample)",
        "models.Decision(sample=sample)",
        "Decision.objects.create(sample=sample)",
        "Decision.objects.bulk_create(rows)",
        "Decision.objects.filter(sample=sample).update_or_create()",
        "Decision._base_manager.bulk_create(rows)",
        "sample.decisions.create(outcome='labelled')",
        "sample.decisions.get_or_create(outcome='labelled')",
    ],
)
def test_every_way_to_make_a_row_would_be_noticed(call):
    assert makes(ast.parse(call, mode="eval").body, "Decision", "decisions")


def makes(node: ast.AST, row: str, related: str) -> bool:
    """Say whether a call makes a row of a model: by its class, by any manager or in bulk."""
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    by_class = rf"(.*\.)?{row}"
    by_manager = rf"((.*\.)?{row}|.*\.{related})\..*create"
    return re.fullmatch(f"{by_class}|{by_manager}", called) is not None


def test_no_file_has_a_name_that_says_nothing():
    assert [
        path for path, _tree in modules(with_tests=True) if Path(path).stem in SAY_NOTHING
    ] == []


def test_no_signals_carry_the_flow():
    receivers = [
        f"{path}:{line} {name}"
        for path, tree in modules()
        for name, line in imported(tree)
        if name.startswith(("django.db.models.signals", "django.dispatch"))
        and not path.endswith("/apps.py")
    ]
    assert receivers == []

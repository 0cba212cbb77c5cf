"""A ready-made installation on SQLite, copied for each test that wants one."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from classifr.tests.faults.installation import Installation


@pytest.fixture(scope="session")
def template(tmp_path_factory, static_files) -> Installation:
    made = Installation(tmp_path_factory.mktemp("template"))
    made.prepare()
    return made


@pytest.fixture
def install(tmp_path, template) -> Iterator[Callable[..., Installation]]:
    """`install(VARIABLE="value")`: an installation of its own on SQLite, with no process yet."""
    made: list[Installation] = []

    def make(**variables: str) -> Installation:
        folder: Path = tmp_path / f"installation-{len(made)}"
        shutil.copytree(template.folder, folder)
        made.append(Installation(folder, **variables))
        made[-1].token = template.token
        return made[-1]

    yield make
    for one in made:
        one.close()

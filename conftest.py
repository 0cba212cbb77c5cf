"""Fixtures for every room's tests: a clean slate, real servers and a real browser.

Tests marked `outer` may ask for `postgres_url`, `fresh_postgres_url`, `azurite`, `redis_url`,
`static_files`, `browser` and `page`.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.cache import caches
from django.utils import translation
from hypothesis import settings as hypothesis_settings

from common import fetching

hypothesis_settings.register_profile(
    "any machine", deadline=None
)  # how long an example takes says nothing of the code
hypothesis_settings.load_profile("any machine")

# Before any test that imports Keras by itself, see there
fetching.load_libcurl()


@pytest.fixture(autouse=True)
def clean_slate() -> Iterator[None]:
    """Leave no cached value, no language and no stored file to the next test."""
    yield
    for alias in ("default", "explanations"):
        caches[alias].clear()
    translation.deactivate()
    for alias in ("uploads", "misclassified", "models"):
        shutil.rmtree(settings.DATA_DIR / alias, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator:
    from scripts.services import Postgres

    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server) -> str:
    """The DATABASE_URL of a real PostgreSQL; empty at first, and shared by the tests of a
    session.
    """
    return postgres_server.fresh_database()


@pytest.fixture
def fresh_postgres_url(postgres_server) -> str:
    """The DATABASE_URL of an empty database that only this test uses."""
    return postgres_server.fresh_database()


@pytest.fixture(scope="session")
def azurite_server() -> Iterator:
    from scripts.services import Azurite

    with Azurite() as server:
        yield server


@pytest.fixture
def azurite(azurite_server) -> Iterator:
    """Azure Blob Storage: `connection_string`, `stop()`, `kill()`, `start()`; running again for the
    next test.
    """
    yield azurite_server
    if azurite_server.process is None:
        azurite_server.start()


@pytest.fixture(scope="session")
def static_files() -> None:
    """What the pages of an installation with production settings need: without it each of them is a
    500.
    """
    from classifr.tests.process_tree import manage

    with tempfile.TemporaryDirectory() as folder:
        manage(Path(folder), "collectstatic", "--noinput", "-v0")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    from scripts.services import Redis

    with Redis() as server:
        yield server.url


@pytest.fixture(scope="session")
def mlflow_url() -> Iterator[str]:
    from scripts.services import Missing, Mlflow

    try:
        with Mlflow() as server:
            yield server.url
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def custom_vision() -> Iterator:
    """A stand-in for Azure Custom Vision: `endpoint`, keys, faults at will and the record of what
    it received.
    """
    from customvision.client.tests.stand_in import StandIn

    with StandIn() as service:
        yield service


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Chromium, headless. Playwright keeps an event loop in this thread, which Django would
    otherwise refuse.
    """
    from playwright.sync_api import sync_playwright

    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium")
        )
        yield chromium
        chromium.close()


class Problems(list[str]):
    """What went wrong in the browser's pages so far: console errors, failed requests, requests to
    strangers.
    """

    are_expected = False

    def expect(self) -> None:
        """Let this test provoke them; they may come at any time, so clearing the list would not
        do.
        """
        self.are_expected = True


@pytest.fixture
def problems() -> Problems:
    """What went wrong in the browser so far. `page` fails its test at the end when there is
    anything unexpected.
    """
    return Problems()


@pytest.fixture
def page(browser, live_server, problems) -> Iterator:
    """A page on the live server, English, in a fresh profile; paths such as `page.goto("/")` are
    enough.
    """
    from classifr.tests.browser import open_page

    opened = open_page(browser, live_server.url, problems)
    yield opened
    opened.context.close()
    assert problems == [] or problems.are_expected


@pytest.fixture
def new_page(browser, problems) -> Iterator[Callable]:
    """Open further pages: `new_page(base_url, locale="ja", viewport={"width": 360, "height":
    700})`.
    """
    from classifr.tests.browser import open_page

    opened = []

    def open_another(base_url: str, **options):
        opened.append(open_page(browser, base_url, problems, **options))
        return opened[-1]

    yield open_another
    for one in opened:
        one.context.close()


@pytest.fixture
def sign_in() -> Callable:
    """`sign_in(page, user)`: the page's browser is signed in from now on."""
    from classifr.tests.browser import sign_in

    return sign_in


@pytest.fixture
def assert_accessible() -> Callable:
    """`assert_accessible(page)`: axe finds nothing wrong with the page as it stands."""
    from classifr.tests.browser import assert_accessible

    return assert_accessible

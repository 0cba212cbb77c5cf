"""What tests in a real browser share: signing in, and looking for what people stumble over."""

from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Page, Request, Route

from accounts.models import User

LOCAL = {"127.0.0.1", "localhost"}


def sign_in(page: Page, user: User) -> None:
    """Put a session of this user into the browser of a page with a base URL."""
    client = Client()
    client.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    url = page.base_url
    page.context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": url}])


# An animation without end (a spinner's), or one that follows a scroll bar, is never over, and is
# not waited for.
NOTHING_FADES = """() => document.querySelector('.htmx-request') === null
    && document.getAnimations().every(
        (animation) => animation.effect.getComputedTiming().endTime === Infinity
            || animation.timeline !== document.timeline
            || animation.playState !== 'running')"""


def assert_accessible(page: Page) -> None:
    """Fail with axe's findings on the page, once nothing on it fades in or out any more.

    Half transparent text, as htmx's indicator is for 200 ms after an answer, has no contrast.
    """
    page.wait_for_function(NOTHING_FADES)
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def open_page(
    browser: Browser, base_url: str, problems: list[str], *, locale: str = "en", **options: object
) -> Page:
    """Return a page in a fresh browser profile that writes down what goes wrong in it.

    Console errors, exceptions, requests that fail and requests to anybody but ourselves (which are
    not let through) are appended to `problems`.
    """
    context = browser.new_context(base_url=base_url, locale=locale, **options)
    page = context.new_page()
    page.base_url = base_url

    def keep_local(route: Route, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.hostname not in LOCAL:
            problems.append(f"request to a stranger: {request.url}")
            route.abort()
        else:
            route.continue_()

    context.route("**/*", keep_local)
    page.on(
        "console",
        lambda message: problems.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: problems.append(f"exception: {error}"))
    page.on("requestfailed", lambda request: _note_failure(request, problems))
    page.set_default_timeout(15_000)
    return page


def _note_failure(request: Request, problems: list[str]) -> None:
    # A request that the page itself gave up, because it was left or replaced, is no failure.
    if request.failure != "net::ERR_ABORTED":
        problems.append(f"failed: {request.url} {request.failure}")

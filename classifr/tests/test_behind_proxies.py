"""The site behind nginx and Caddy as docs/deployment.md has them, with and without a path."""

import re
from collections.abc import Callable, Iterator

import pytest
import requests
from playwright.sync_api import expect

from classifr.tests.faults.installation import Installation
from classifr.tests.process_tree import ROOT
from predictions.tests.factories import PASSWORD, make_picture_bytes
from scripts.services import Caddy, Missing, Nginx, Server

pytestmark = [
    pytest.mark.outer,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]
BEHIND = {"HTTPS": "true", "BEHIND_PROXY": "true", "WEB_CONCURRENCY": "1"}
ONE_LOCATION = re.compile(r"    location / \{.*?\n    \}\n", re.DOTALL)


def documented(language: str) -> list[str]:
    """The blocks of this language in the document: for a host of its own, and under a path."""
    text = (ROOT / "docs/deployment.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def nginx(port: int, prefix: str) -> Server:
    server, locations = documented("nginx")
    if prefix:
        server = ONE_LOCATION.sub(lambda _: locations, server)
        assert locations in server
    server = server.replace("listen 443", "listen 127.0.0.1:PORT")
    server = server.replace("/etc/letsencrypt/live/classifr.example.com", "CERTIFICATE")
    return Nginx(server.replace("127.0.0.1:8000", f"127.0.0.1:{port}"))


def caddy(port: int, prefix: str) -> Server:
    site = documented("caddyfile")[1 if prefix else 0]
    site = re.sub(r"^\w+\.example\.com", "https://localhost:PORT", site)
    return Caddy(site.replace("127.0.0.1:8000", f"127.0.0.1:{port}"))


@pytest.fixture(scope="module", params=["", "/classifr"], ids=["own host", "path"])
def installation(request, tmp_path_factory, static_files) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("site"), URL_PREFIX=request.param, **BEHIND)
    made.prepare()
    made.start_web()
    yield made
    made.close()


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def site(request, installation) -> Iterator[str]:
    """The address of the site, without a slash at its end."""
    prefix = installation.variables["URL_PREFIX"]
    make: Callable[[int, str], Server] = request.param
    try:
        with make(int(installation.url.rpartition(":")[2]), prefix) as server:
            yield f"https://localhost:{server.port}{prefix}"
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.trust_env, opened.verify = False, False  # the certificate is of the test
        yield opened


def log_in(session: requests.Session, site: str) -> requests.Response:
    """Log in as the form does, with the token and the origin that a browser sends."""
    page = session.get(f"{site}/account/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    form = {"login": "cook", "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
    origin = re.match("https://[^/]+", site)[0]
    return session.post(page.url, data=form, headers={"Origin": origin, "Referer": page.url})


def addresses(page: str) -> set[str]:
    """The addresses on this host that a page names in any attribute."""
    names = "href|src|action|hx-get|hx-post|data-[a-z-]+"
    return set(re.findall(rf'(?:{names})="(/[^"]*)"', page))


def test_everything_that_a_page_names_is_under_its_path(session, site, installation):
    prefix = installation.variables["URL_PREFIX"]
    page = log_in(session, site)
    assert (page.status_code, page.url) == (200, f"{site}/")
    for address in ("/", "/projects/dishes/", "/projects/dishes/classify/", "/api/v1/schema/ui/"):
        page = session.get(f"{site}{address}")
        assert page.status_code == 200, address
        outside = {one for one in addresses(page.text) if not one.startswith(f"{prefix}/")}
        assert not outside
    stylesheets = [one for one in addresses(page.text) if one.endswith(".css")]
    host = site.removesuffix(prefix)
    assert stylesheets
    assert {session.get(host + one).status_code for one in stylesheets} == {200}


def test_cookies_are_of_its_path_and_redirects_lead_there(session, site, installation):
    prefix = installation.variables["URL_PREFIX"]
    # What a client claims about its way here counts for nothing
    lie = {"X-Forwarded-Proto": "http", "X-Forwarded-For": "192.0.2.1"}
    refused = session.get(f"{site}/help/", headers=lie, allow_redirects=False)
    assert refused.status_code == 302
    assert refused.headers["Location"] == f"{prefix}/account/login/?next={prefix}/help/"
    log_in(session, site)
    session.post(
        f"{site}/theme/",
        data={"theme": "dark", "csrfmiddlewaretoken": session.cookies["csrftoken"]},
        headers={"Referer": f"{site}/"},
    )
    paths = {cookie.name: (cookie.path, cookie.secure) for cookie in session.cookies}
    assert paths == dict.fromkeys(("sessionid", "csrftoken", "theme"), (f"{prefix}/", True))
    if prefix:
        bare = session.get(site, allow_redirects=False)
        assert bare.status_code == 308
        assert bare.headers["Location"].removeprefix(site.removesuffix(prefix)) == f"{prefix}/"


def test_an_htmx_request_without_a_session_is_sent_to_the_log_in_of_its_path(
    session, site, installation
):
    prefix = installation.variables["URL_PREFIX"]
    headers = {"HX-Request": "true", "HX-Current-URL": f"{site}/predictions/"}
    answer = session.get(f"{site}/predictions/", headers=headers)
    assert answer.headers["HX-Redirect"].startswith(f"{prefix}/account/login/?next=")
    assert f"next={prefix}/predictions/".replace("/", "%2F") in answer.headers["HX-Redirect"]


def test_an_error_of_the_api_is_json_and_of_a_page_a_page(session, site):
    unknown = session.get(f"{site}/api/v1/nothing")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    refused = session.get(f"{site}/api/v1/projects/")
    assert refused.status_code == 401
    assert refused.json()["code"]
    log_in(session, site)
    assert "Page not found" in session.get(f"{site}/nothing").text


def test_the_description_of_the_api_names_where_it_is(session, site, installation):
    schema = session.get(f"{site}/api/v1/schema/?format=json").json()
    prefix = installation.variables["URL_PREFIX"]
    server = schema.get("servers", [{"url": ""}])[0]["url"]
    assert server == prefix
    assert "/api/v1/projects/" in schema["paths"]


def test_a_picture_in_chunks_is_classified(session, site, installation):
    def pieces() -> Iterator[bytes]:
        picture = make_picture_bytes()
        yield from (picture[start : start + 100] for start in range(0, len(picture), 100))

    answer = session.post(
        f"{site}/api/v1/projects/dishes/predict",
        data=pieces(),
        headers={
            "Authorization": f"Token {installation.token}",
            "Content-Type": "image/jpeg",
        },
    )
    assert answer.status_code == 200, answer.text
    assert "Content-Length" not in answer.request.headers


def test_the_scripts_of_a_page_stay_under_its_path(site, new_page, problems):
    page = new_page(site, ignore_https_errors=True)
    page.goto(f"{site}/account/login/")
    page.locator("input[name=login]").fill("cook")
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{site}/")
    page.goto(f"{site}/projects/dishes/classify/")
    picture = {"name": "dinner.jpg", "mimeType": "image/jpeg", "buffer": make_picture_bytes()}
    page.locator("#file").set_input_files(picture)
    page.get_by_role("button", name="Classify").click()
    expect(page.locator("#result table tbody tr").first).to_be_visible()
    page.get_by_role("button", name="NOK", exact=True).click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Your answer: NOK")).to_be_visible()
    page.goto(f"{site}/api/v1/schema/ui/")
    form = page.locator('form[data-path$="/api/v1/projects/"][data-method=GET]')
    form.get_by_role("button").click()
    expect(form.locator("..").locator("[data-answer]")).to_contain_text('"slug": "dishes"')
    assert problems == []


def test_probes_ask_the_web_server_without_the_path(installation):
    for address in ("/healthz", "/readyz"):
        assert requests.get(installation.url + address, timeout=10).status_code == 200


def test_a_broken_page_leads_back_to_the_start_page_of_its_path(tmp_path, static_files):
    broken = Installation(tmp_path, URL_PREFIX="/classifr", WEB_CONCURRENCY="1")
    try:
        broken.start_web()  # on a database without tables
        page = requests.get(
            f"{broken.url}/classifr/help/", cookies={"sessionid": "x" * 32}, timeout=10
        )
    finally:
        broken.close()
    assert page.status_code == 503
    assert '<a href="/classifr/">' in page.text

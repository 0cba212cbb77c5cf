"""Promise 10: every address answers each visitor as the matrix says, and none is left out."""

import re
from collections.abc import Iterator
from copy import deepcopy

import pytest
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from accounts.tests.factories import make_token
from classifr.tests.access_matrix import LOGIN, OLD_ADDRESSES, ROWS, VISITORS, Row
from classifr.tests.access_world import World, make_world

pytestmark = pytest.mark.django_db


def walk(patterns: list, names: tuple[str, ...] = ()) -> Iterator[tuple[str, URLPattern]]:
    """Yield every pattern of the URL configuration with its full name, or "" where it has none."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from walk(
                pattern.url_patterns, (*names, pattern.namespace) if pattern.namespace else names
            )
        else:
            yield ":".join((*names, pattern.name)) if pattern.name else "", pattern


def everything() -> list[tuple[str, URLPattern]]:
    return list(walk(get_resolver().url_patterns))


def clients_of(world: World) -> dict[str, Client]:
    clients = {name: Client(raise_request_exception=False) for name in VISITORS}
    for name in VISITORS[1:]:
        clients[name].force_login(getattr(world, name))
    return clients


def ask(client: Client, row: Row, address: str, world: World) -> int | str:
    """Return the status, or LOGIN; and undo whatever the request did."""
    cache.clear()
    cookies = deepcopy(client.cookies)
    # No `atomic`: what people say could not be flushed within it
    before = transaction.savepoint()
    if row.method == "GET":
        response = client.get(address)
    elif row.is_json:
        response = client.post(address, row.data(world), content_type="application/json")
    else:
        response = client.post(address, row.data(world))
    transaction.savepoint_rollback(before)
    client.cookies = cookies
    is_login = response.status_code == 302 and response["Location"].startswith(
        reverse("account_login")
    )
    return LOGIN if is_login and "next=" in response["Location"] else response.status_code


def test_every_visitor_gets_the_answer_of_the_matrix():
    world = make_world()
    clients = clients_of(world)
    wrong = []
    for name, rows in ROWS.items():
        for row in rows:
            address = reverse(name, kwargs=row.kwargs(world))
            answers = tuple(ask(clients[visitor], row, address, world) for visitor in VISITORS)
            if answers != row.answers:
                wrong.append(f"{row.method} {name}: expected {row.answers}, got {answers}")
    assert not wrong, "\n".join(wrong)


def test_no_address_is_without_a_row():
    names = {name for name, pattern in everything() if name and not name.startswith("admin:")}
    assert names - set(ROWS) == set(), "decide who may use these, in access_matrix.py"
    assert set(ROWS) - names == set(), "these are gone"


def test_no_nameless_address_is_new():
    nameless = {str(pattern.pattern) for name, pattern in everything() if not name}
    admin_only = {"<path:object_id>/", "(?P<url>.*)$"}
    assert nameless - admin_only == set(OLD_ADDRESSES)


def test_no_operation_of_the_api_is_without_a_row():
    operations = {
        (name, method.upper())
        for name, pattern in everything()
        if (view := getattr(pattern.callback, "cls", None))
        for method in view.http_method_names
        if hasattr(view, method) and method != "options"
    }
    assert operations
    assert operations == {
        (name, row.method) for name in {name for name, _method in operations} for row in ROWS[name]
    }


def test_no_method_that_a_page_takes_is_without_a_row():
    world = make_world()
    client = clients_of(world)["maintainer"]
    missing = []
    for name, rows in ROWS.items():
        with transaction.atomic():
            refusal = client.generic("PROPFIND", reverse(name, kwargs=rows[0].kwargs(world)))
            transaction.set_rollback(True)
        allowed = set(refusal["Allow"].split(", ")) if refusal.status_code == 405 else {"GET"}
        # Django's form views, which allauth's are, take a PUT as they take a POST.
        unlisted = allowed - {"HEAD", "OPTIONS", "PUT", ""} - {row.method for row in rows}
        missing += [f"{method} {name}" for method in unlisted]
    assert not missing, "\n".join(missing)


def test_the_admin_lets_nobody_in_but_its_staff():
    world = make_world()
    clients = clients_of(world)
    open_to_all = {"admin:login", "admin:logout"}
    wrong = []
    for name, pattern in everything():
        if not name.startswith("admin:") or name in open_to_all:
            continue
        kwargs = dict.fromkeys(re.findall(r"<(?:\w+:)?(\w+)>", str(pattern.pattern)), "1")
        if name == "admin:app_list":
            kwargs = {"app_label": "accounts"}
        address = reverse(name, kwargs=kwargs)
        for visitor in ("anonymous", "user", "maintainer"):
            response = clients[visitor].get(address)
            if response.status_code != 302 or "/admin/login/" not in response["Location"]:
                wrong.append(f"{visitor} gets {response.status_code} at {address}")
    assert not wrong, "\n".join(wrong)


def test_a_token_opens_what_its_owner_may_see_and_no_page():
    world = make_world()
    header = {"Authorization": f"Token {make_token(world.other)}"}
    client = Client()
    assert client.get(reverse("api:projects"), headers=header).status_code == 200
    address = reverse("api:prediction", args=[world.prediction.uuid])
    assert client.get(address, headers=header).status_code == 404
    assert client.get(reverse("accounts:profile"), headers=header).status_code == 302


def test_somebody_without_a_role_may_do_nothing_but_look_after_the_account():
    world = make_world()
    world.other.groups.clear()
    client = clients_of(world)["other"]
    assert client.get(reverse("accounts:profile")).status_code == 200
    for name in (
        "predictions:history",
        "review:queue",
        "training:overview",
        "accounts:users",
        "api:projects",
    ):
        assert client.get(reverse(name)).status_code == 403, name


def test_every_row_has_an_answer_for_every_visitor():
    assert all(
        isinstance(row, Row) and len(row.answers) == len(VISITORS)
        for rows in ROWS.values()
        for row in rows
    )

"""Whatever a caller writes where a number is expected is refused or passed over."""

from copy import deepcopy
from urllib.parse import urlencode

import pytest
from django.core.cache import cache
from django.db import transaction
from django.urls import reverse

from classifr.tests.access_matrix import ROWS
from classifr.tests.access_world import make_world
from classifr.tests.test_access import clients_of, everything

pytestmark = pytest.mark.django_db

TEXTS = ("9" * 5000, str(2**63), "-1", "²", "nan")
QUERY = (
    "before",
    "page",
    "p",
    "o",
    "version",
    "project",
    "category",
    "since",
    "until",
    "take",
    "skip",
    "next",
    "id",
)
FORM = (
    "prediction",
    "category",
    "seed",
    "wanted",
    "role",
    "language",
    "abstain_below",
    "name",
    "verdict",
    "action",
)


@pytest.mark.slow
def test_no_number_in_a_query_or_form_breaks_an_address():
    world = make_world()
    clients = clients_of(world)
    broken = []
    for name, rows in ROWS.items():
        for row in rows:
            address = reverse(name, kwargs=row.kwargs(world))
            for text in TEXTS:
                form = dict.fromkeys(FORM, text) | {"ruling": f"category:{text}"}
                for visitor in ("user", "maintainer"):
                    cache.clear()
                    cookies = deepcopy(clients[visitor].cookies)
                    # No `atomic`: what people say could not be flushed within it
                    before = transaction.savepoint()
                    query = urlencode(dict.fromkeys(QUERY, text))
                    data = form if row.method == "POST" else None
                    content_type = {"content_type": "application/json"} if row.is_json else {}
                    ask = clients[visitor].post if row.method == "POST" else clients[visitor].get
                    status = ask(f"{address}?{query}", data, **content_type).status_code
                    transaction.savepoint_rollback(before)
                    clients[visitor].cookies = cookies
                    if status >= 500:
                        broken.append(
                            f"{status}: {row.method} {name} with {text[:10]} as {visitor}"
                        )
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("text", ["9" * 5000, str(2**63), "0"])
def test_no_number_in_an_address_breaks_it(text):
    client = clients_of(make_world())["maintainer"]
    asked = []
    for name, pattern in everything():
        if "int" in {
            type(one).__name__.removesuffix("Converter").lower()
            for one in pattern.pattern.converters.values()
        }:
            asked.append(name)
            kwargs = dict.fromkeys(pattern.pattern.converters, 1)
            address = reverse(name, kwargs=kwargs).replace("/1/", f"/{text}/")
            assert client.get(address).status_code in (404, 405), name
            assert client.post(address).status_code in (404, 405), name
    assert asked


@pytest.mark.parametrize("text", ["9" * 5000, str(2**63), "-1", "x"])
def test_no_number_in_the_admin_breaks_it(text, admin_client):
    broken = []
    for name, _pattern in everything():
        if (
            name.startswith("admin:")
            and name.count("_") > 1
            and name.endswith(("_changelist", "_change"))
        ):
            args = [text] if name.endswith("_change") else []
            query = urlencode(dict.fromkeys(("p", "o", "e", "_facets"), text))
            for address in (reverse(name, args=args), f"{reverse(name, args=args)}?{query}"):
                status = admin_client.get(address).status_code
                broken += [f"{status}: {address[:60]}"] if status >= 500 else []
    assert not broken, "\n".join(broken)

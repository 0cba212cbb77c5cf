"""Notifications in a real browser."""

import pytest
from playwright.sync_api import expect

from accounts.tests.factories import make_maintainer

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]


def test_every_choice_is_in_sight_on_a_phone(new_page, live_server, sign_in):
    page = new_page(viewport={"width": 390, "height": 844}, base_url=live_server.url, locale="fr")
    sign_in(page, make_maintainer())
    page.goto("/account/notifications/")
    choices = page.get_by_role("checkbox")
    assert choices.count() >= 10
    for choice in choices.all():
        expect(choice).to_be_in_viewport()

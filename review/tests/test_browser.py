"""Reviewing in a real browser, by keyboard only."""

import pytest
from django.core.files.storage import storages
from playwright.sync_api import expect

from predictions.models import Sample
from predictions.tests.factories import make_live_model, make_project, make_user
from review.models import Decision, Lease, Skip
from review.tests.factories import make_nok

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def project():
    from django.apps import apps

    from accounts import roles

    roles.sync_role_groups(sender=apps.get_app_config("accounts"))
    project = make_project()
    make_live_model(project)
    return project


@pytest.fixture
def reviewer(page, sign_in):
    reviewer = make_user("maintainer")
    sign_in(page, reviewer)
    return reviewer


def title_has_focus(page) -> bool:
    return page.evaluate("document.activeElement.id") == "card-title"


def press(page, key: str, announced: str) -> None:
    page.keyboard.press(key)
    page.get_by_role("status").filter(has_text=announced).wait_for()
    # What is announced a moment before the page listens again is too fast for people, not for this
    # test
    expect(page.locator(".htmx-request, .htmx-swapping, .htmx-settling")).to_have_count(0)


def test_five_pictures_are_reviewed_by_keyboard_only(page, reviewer, project, assert_accessible):
    samples = [make_nok(project, suggestion="pizza" if number == 4 else "") for number in range(5)]
    page.goto("/review/")
    page.locator("#review-card").get_by_text("5 waiting").wait_for()
    assert_accessible(page)

    press(page, "1", "Labelled as gnocchi.")
    assert title_has_focus(page)
    press(page, "u", "Undone.")
    page.locator("#review-card").get_by_text("5 waiting").wait_for()
    press(page, "2", "Labelled as risotto.")
    press(page, "c", "Confirmed: gnocchi.")
    page.keyboard.press("n")
    page.keyboard.type("d: too dark")
    page.keyboard.press("Escape")
    press(page, "d", "Discarded.")
    page.keyboard.press("t")
    page.keyboard.type("TIRAMISU")
    press(page, "Enter", "Labelled as tiramisu.")
    press(page, "g", "Labelled as pizza.")
    page.get_by_role("heading", name="All caught up").wait_for()
    assert_accessible(page)

    newest = {
        decision.sample_id: decision
        for decision in Decision.objects.select_related("category").order_by("pk")
    }
    assert [(newest[each.pk].outcome, str(newest[each.pk].category)) for each in samples] == [
        ("labelled", "risotto"),
        ("confirmed", "gnocchi"),
        ("discarded", "None"),
        ("labelled", "tiramisu"),
        ("labelled", "pizza"),
    ]
    assert newest[samples[2].pk].reason == "d: too dark"


def test_a_skip_and_the_keys_switched_off(page, reviewer, project):
    make_nok(project)
    make_nok(project)
    page.goto("/review/")
    page.keyboard.press("?")
    page.get_by_role("switch", name="Use these keys").press("Space")
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    page.keyboard.press("?")
    page.get_by_role("switch", name="Use these keys").press("Space")
    page.keyboard.press("Escape")
    press(page, "s", "Skipped.")
    assert Skip.objects.count() == 1
    assert not Decision.objects.exists()


def test_the_next_picture_is_there_before_it_is_shown(page, reviewer, project):
    make_nok(project)
    following = make_nok(project)
    with page.expect_response(lambda answer: str(following.uuid) in answer.url):
        page.goto("/review/")


def test_the_page_works_while_the_storage_is_down(page, reviewer, project, problems):
    problems.expect()
    sample = make_nok(project)
    storages["uploads"].delete(sample.file_name)
    page.goto("/review/")
    page.get_by_text("The picture cannot be read just now").wait_for()
    press(page, "s", "Skipped.")


def test_leaving_the_page_gives_the_sample_back(page, reviewer, project):
    make_nok(project)
    page.goto("/review/")
    assert Lease.objects.exists()
    page.goto("/review/history/")
    page.wait_for_timeout(500)
    assert not Lease.objects.exists()


def test_filters_apply_at_once_and_the_page_fits_a_phone(
    new_page, live_server, sign_in, project, assert_accessible
):
    make_nok(project)
    page = new_page(live_server.url, viewport={"width": 360, "height": 740})
    sign_in(page, make_user("reviewer"))
    page.goto("/review/")
    page.get_by_text("Filters", exact=True).click()
    with page.expect_navigation():
        page.get_by_label("Reason").select_option("unsure")
    page.get_by_role("heading", name="Nothing to review matches these filters").wait_for()
    for path in ["/review/", "/review/history/", f"/review/samples/{Sample.objects.get().uuid}/"]:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert_accessible(page)


def test_the_forms_work_without_javascript(new_page, live_server, sign_in, project):
    make_nok(project)
    page = new_page(live_server.url, java_script_enabled=False)
    sign_in(page, make_user("reviewer"))
    page.goto("/review/")
    page.get_by_role("button", name="risotto").click()
    page.get_by_text("Labelled as risotto.").wait_for()
    assert Decision.objects.get().category.name == "risotto"

"""Reviewing one at a time in a real browser: by keyboard only, and never losing a key."""

import threading
import time
from typing import Any

import pytest
from django.core.files.storage import storages
from playwright.sync_api import expect

from predictions import categories
from predictions.models import Sample
from predictions.tests.factories import make_live_model, make_project, make_user
from review.models import Decision, Lease, Skip
from review.tests.factories import make_nok

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]
CARD = "[data-card]:not([hidden])"


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


def here(page) -> str:
    return page.locator(CARD).get_attribute("data-card")


def press(page, key: str, announced: str) -> None:
    page.keyboard.press(key)
    page.get_by_role("status").filter(has_text=announced).wait_for()


def press_as_they_come(page, keys) -> list[tuple[str, str]]:
    """Press each key on the card that is there then; return which was pressed for which sample."""
    pressed = []
    for key in keys:
        page.locator(CARD).wait_for()
        pressed.append((here(page), key))
        page.keyboard.press(key)
    return pressed


def wait_until_saved(page) -> None:
    unsaved = page.locator("[data-state=saving], [data-state=unsaved]")
    expect(unsaved).to_have_count(0, timeout=60_000)


def decided() -> dict[str, str]:
    """Return the key of the category that each decided sample got, by the sample's uuid."""
    rows = Decision.objects.in_force().select_related("sample", "category")
    return {str(row.sample.uuid): row.category.key for row in rows if row.category}


def test_five_pictures_are_reviewed_by_keyboard_only(page, reviewer, project, assert_accessible):
    samples = [make_nok(project, suggestion="pizza" if number == 4 else "") for number in range(5)]
    page.goto("/review/")
    page.get_by_text("1 of 5").wait_for()
    expect(page.locator(".side .count")).to_contain_text("5")
    assert_accessible(page)

    press(page, "1", "Labelled as gnocchi.")
    page.get_by_text("2 of 5").wait_for()
    press(page, "u", "Undone.")
    page.get_by_text("1 of 5").wait_for()
    press(page, "2", "Labelled as risotto.")
    press(page, "Enter", "Confirmed: gnocchi.")
    page.keyboard.press("n")
    page.keyboard.type("d: too dark")
    page.keyboard.press("Escape")
    press(page, "d", "Discarded.")
    page.keyboard.press("t")
    page.keyboard.type("TIRAMISU")
    press(page, "Enter", "Labelled as tiramisu.")
    press(page, "Enter", "Labelled as pizza.")
    page.get_by_role("heading", name="All caught up").wait_for()
    expect(page.locator(".side .count")).to_have_count(0)  # asked for anew once all is saved
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


def test_of_sixty_keys_none_is_lost(page, reviewer, project):
    for _number in range(60):
        make_nok(project)
    page.goto("/review/")
    pressed = press_as_they_come(page, "123" * 20)
    wait_until_saved(page)
    assert decided() == dict(pressed)
    assert len(decided()) == 60


def test_keys_go_on_while_the_server_is_slow_and_fails_once(page, reviewer, project, problems):
    problems.expect()
    for _number in range(8):
        make_nok(project)
    answers = []

    def slow(route) -> None:
        answers.append(route)
        time.sleep(0.3)
        if len(answers) == 2:
            route.fulfill(status=503)
        else:
            route.continue_()

    page.route("**/decide/", slow)
    page.goto("/review/")
    pressed = press_as_they_come(page, "12312312")
    page.evaluate("window.dispatchEvent(new Event('online'))")
    wait_until_saved(page)
    assert decided() == dict(pressed)
    assert len(decided()) == Decision.objects.count() == 8


def test_a_network_that_is_away_is_told_and_leaving_is_warned_of(
    page, reviewer, project, problems, assert_accessible
):
    problems.expect()
    for _number in range(3):
        make_nok(project)
    page.goto("/review/")
    page.route("**/decide/", lambda route: route.abort())
    pressed = press_as_they_come(page, "12")
    page.get_by_role("button", name="Try 2 again").wait_for()
    expect(page.locator("#review-queue .state.nok")).to_have_count(2)
    assert_accessible(page)
    warned = page.evaluate("""() => {
        const leaving = new Event('beforeunload', { cancelable: true });
        window.dispatchEvent(leaving);
        return leaving.defaultPrevented;
    }""")
    assert warned
    page.unroute("**/decide/")
    page.get_by_role("button", name="Try 2 again").click()
    wait_until_saved(page)
    assert decided() == dict(pressed)


def test_a_ruling_whose_answer_was_lost_counts_once(page, reviewer, project, problems):
    problems.expect()
    make_nok(project)
    make_nok(project)
    page.goto("/review/")
    lost = []

    def lose_first(route) -> None:
        answer = route.fetch()
        lost.append(answer.status)
        route.abort() if len(lost) == 1 else route.fulfill(response=answer)

    page.route("**/decide/", lose_first)
    page.keyboard.press("2")
    page.get_by_role("button", name="Try 1 again").click()
    wait_until_saved(page)
    assert lost == [200, 200]
    assert Decision.objects.count() == 1


def test_a_refused_ruling_is_red_and_comes_back_to_the_front(page, reviewer, project, problems):
    problems.expect()
    for _number in range(3):
        make_nok(project)
    page.goto("/review/")
    first = here(page)
    project.categories.get(key="3").delete()
    page.keyboard.press("3")
    page.locator(f"[data-card='{first}']").get_by_text("This category no longer exists").wait_for()
    assert here(page) == first
    expect(page.locator("#review-queue .here .state.nok")).to_have_count(1)
    page.wait_for_timeout(800)  # a key right after the change is for the card before it
    page.keyboard.press("1")
    wait_until_saved(page)
    assert decided() == {first: "1"}


def test_what_is_not_sent_yet_is_undone_without_the_server(page, reviewer, project):
    for _number in range(3):
        make_nok(project)
    page.goto("/review/")
    first = here(page)

    held: list[Any] = []
    is_open = threading.Event()
    page.route(
        "**/decide/", lambda route: route.continue_() if is_open.is_set() else held.append(route)
    )
    page.keyboard.press("1")
    second = here(page)
    page.keyboard.press("1")
    page.keyboard.press("u")
    assert here(page) == second
    page.keyboard.press("2")
    is_open.set()
    for route in held:
        route.continue_()
    wait_until_saved(page)
    assert decided() == {first: "1", second: "2"}
    assert Decision.objects.count() == 2


def test_a_decision_of_before_the_page_and_a_skip_are_undone(page, reviewer, project):
    make_nok(project)
    make_nok(project)
    page.goto("/review/")
    first = here(page)
    press(page, "1", "Labelled as gnocchi.")
    page.reload()
    page.keyboard.press("u")
    page.locator(f"[data-card='{first}']:not([hidden])").wait_for()
    press(page, "s", "Skipped.")
    press(page, "u", "Undone.")
    assert here(page) == first
    assert not Skip.objects.exists()


def test_a_second_reviewer_at_once_gets_other_samples(
    page, new_page, live_server, reviewer, sign_in, project
):
    for _number in range(12):
        make_nok(project)
    page.goto("/review/")
    other = new_page(live_server.url)
    sign_in(other, make_user("reviewer"))
    other.goto("/review/")
    cards = "[...document.querySelectorAll('[data-card]')].map((each) => each.dataset.card)"
    mine, theirs = page.evaluate(cards), other.evaluate(cards)
    assert len(mine) == len(theirs) == 6
    assert not set(mine) & set(theirs)


def test_keys_stay_when_a_category_is_added(page, reviewer, project):
    make_nok(project)
    make_nok(project)
    page.goto("/review/")
    page.keyboard.press("t")
    page.keyboard.type("artichoke")
    press(page, "Enter", "Labelled as artichoke.")
    page.reload()
    keys = {each.name: each.key for each in project.categories.all()}
    assert keys == {"gnocchi": "1", "risotto": "2", "tiramisu": "3", "artichoke": "4"}
    press(page, "2", "Labelled as risotto.")
    categories.add_category(project, "beans")
    assert project.categories.get(name="beans").key == "5"


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


def test_the_next_pictures_are_there_before_they_are_shown(page, reviewer, project):
    make_nok(project)
    following = make_nok(project)
    with page.expect_response(lambda answer: f"{following.uuid}/picture" in answer.url):
        page.goto("/review/")


def test_the_page_works_while_the_storage_is_down(page, reviewer, project, problems):
    problems.expect()
    sample = make_nok(project)
    storages["uploads"].delete(sample.file_name)
    page.goto("/review/")
    page.get_by_text("The picture cannot be read just now").wait_for()
    press(page, "s", "Skipped.")


def test_leaving_the_page_gives_the_samples_back(page, reviewer, project):
    make_nok(project)
    make_nok(project)
    page.goto("/review/")
    assert Lease.objects.count() == 2
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
    page.locator("summary").filter(has_text="Filter").click()
    with page.expect_navigation():
        page.get_by_label("Reason").select_option("unsure")
    page.get_by_role("heading", name="Nothing to review matches these filters").wait_for()
    for path in ["/review/", "/review/history/", f"/review/samples/{Sample.objects.get().uuid}/"]:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert_accessible(page)


def test_nothing_moves_from_card_to_card(page, reviewer, project):
    for _number in range(4):
        make_nok(project)
    page.goto("/review/")
    page.evaluate("""() => {
        window.moved = [];
        const isCard = (source) => source.node?.parentElement?.closest('#review-cards');
        new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) {
                const moved = entry.sources.filter(isCard);
                window.moved.push(...moved.map(({ node }) => node.outerHTML));
            }
        }).observe({ type: 'layout-shift', buffered: true });
    }""")
    press_as_they_come(page, "123")
    wait_until_saved(page)
    assert page.evaluate("window.moved") == []


def test_the_forms_work_without_javascript(new_page, live_server, sign_in, project):
    make_nok(project)
    make_nok(project)
    page = new_page(live_server.url, java_script_enabled=False)
    sign_in(page, make_user("reviewer"))
    page.goto("/review/")
    page.get_by_role("button", name="risotto").click()
    page.get_by_text("Labelled as risotto.").wait_for()
    page.get_by_role("button", name="Undo").first.click()
    page.get_by_text("Undone.").wait_for()
    page.get_by_text("Other…").click()
    page.get_by_role("combobox", name="Existing or new name").fill("pizza")
    page.keyboard.press("Enter")
    page.get_by_text("Labelled as pizza.").wait_for()
    assert [str(each.category) for each in Decision.objects.order_by("pk")] == [
        "risotto",
        "None",
        "pizza",
    ]

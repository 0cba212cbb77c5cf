"""The samples of a project in a real browser: chosen by mouse and by keyboard, labelled, opened."""

import re
import zipfile

import pytest
from playwright.sync_api import expect

from predictions.models import Sample
from predictions.tests.factories import make_live_model, make_prediction, make_project, make_user
from review.models import Decision
from review.tests.factories import make_decision

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]

ADDRESS = "/projects/dishes/samples/"


@pytest.fixture
def project():
    from django.apps import apps

    from accounts import roles

    roles.sync_role_groups(sender=apps.get_app_config("accounts"))
    project = make_project(slug="dishes")
    make_live_model(project)
    return project


@pytest.fixture
def reviewer(page, sign_in):
    reviewer = make_user("reviewer")
    sign_in(page, reviewer)
    return reviewer


def make_samples(project, number: int) -> list[Sample]:
    """Make samples, in the order in which the page shows them."""
    user = make_user()
    return [make_prediction(user, project=project).sample for _turn in range(number)][::-1]


def chosen(page) -> list[int]:
    """Return the places of the samples that are ticked."""
    return page.eval_on_selector_all(
        "[data-grid] [name=sample]",
        "boxes => boxes.flatMap((box, place) => (box.checked ? [place] : []))",
    )


def box(page, place: int):
    return page.locator("[data-grid] [name=sample]").nth(place)


def wait_for_toast(page, sentence: str) -> None:
    page.locator("#toasts").get_by_text(sentence).wait_for()
    expect(page.locator(".htmx-request, .htmx-swapping, .htmx-settling")).to_have_count(0)


def test_thirty_are_labelled_at_once_by_a_click_with_shift_and_undone_by_a_key(
    page, reviewer, project, assert_accessible
):
    make_samples(project, 40)
    page.goto(ADDRESS)
    expect(page.locator("[data-bar]")).to_be_hidden()
    box(page, 2).click()
    box(page, 31).click(modifiers=["Shift"])
    assert chosen(page) == list(range(2, 32))
    page.get_by_text("30 selected").wait_for()
    assert_accessible(page)
    page.keyboard.press("l")
    page.locator("[data-bar]").get_by_role("button", name="risotto").click()
    wait_for_toast(page, "30 samples labelled as risotto.")
    assert_accessible(page)
    assert Decision.objects.in_force().filter(category__name="risotto").count() == 30
    expect(page.locator("[data-grid] .cap a", has_text="risotto")).to_have_count(30)
    assert chosen(page) == []
    page.keyboard.press("u")
    wait_for_toast(page, "30 decisions undone.")
    assert not Decision.objects.in_force().filter(outcome="labelled").exists()


def test_arrows_space_and_shift_choose_and_letters_act(page, reviewer, project):
    samples = make_samples(project, 12)
    page.goto(ADDRESS)
    box(page, 0).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert chosen(page) == [1, 2, 3]
    page.keyboard.press("Escape")
    assert chosen(page) == []
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("d")
    wait_for_toast(page, "1 sample discarded.")
    assert [each.sample for each in Decision.objects.all()] == [samples[2]]
    box(page, 5).focus()
    page.keyboard.press("r")
    wait_for_toast(page, "1 sample sent to review.")
    box(page, 6).focus()
    page.keyboard.press("l")
    page.keyboard.type("Pizza")
    page.keyboard.press("Enter")
    wait_for_toast(page, "1 sample labelled as Pizza.")
    assert Decision.objects.get(category__name="Pizza").sample == samples[6]


def test_pressing_on_one_and_dragging_over_others_chooses_all_between(page, reviewer, project):
    make_samples(project, 8)
    page.goto(ADDRESS)
    start, end = (box(page, place).bounding_box() for place in (1, 4))
    page.mouse.move(start["x"] + 30, start["y"] + 60)
    page.mouse.down()
    page.mouse.move(end["x"] + 30, end["y"] + 60, steps=8)
    page.mouse.up()
    assert chosen(page) == [1, 2, 3, 4]


def test_the_keys_do_nothing_where_they_are_switched_off(page, reviewer, project):
    make_samples(project, 2)
    page.goto(ADDRESS)
    page.evaluate("localStorage.setItem('review-keys', 'off')")
    box(page, 0).focus()
    page.keyboard.press("d")
    page.keyboard.press("Space")
    page.get_by_text("1 selected").wait_for()
    assert not Decision.objects.exists()


def test_the_lightbox_steps_from_one_to_the_next_and_leads_back(
    page, reviewer, project, assert_accessible
):
    samples = make_samples(project, 4)
    page.goto(ADDRESS)
    box(page, 1).focus()
    page.keyboard.press("Enter")
    shown = page.get_by_role("dialog")
    shown.get_by_text("Where it comes from").wait_for()
    assert page.url.endswith(f"/review/samples/{samples[1].uuid}/")
    assert_accessible(page)
    page.keyboard.press("j")
    page.wait_for_url(f"**/review/samples/{samples[2].uuid}/")
    page.keyboard.press("k")
    page.wait_for_url(f"**/review/samples/{samples[1].uuid}/")
    page.keyboard.press("d")
    shown.get_by_role("heading", name="Discarded").wait_for()
    shown.get_by_role("button", name="Undo").click()
    shown.get_by_text("1 decision undone.").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_url(f"**{ADDRESS}")
    expect(shown).to_be_hidden()
    page.go_back()
    page.go_forward()
    page.wait_for_url(f"**{ADDRESS}*")


def test_the_lightbox_stays_closed_where_it_was_closed_before_its_answer(page, reviewer, project):
    make_samples(project, 2)
    held = []
    page.route(re.compile(r"/samples/[0-9a-f-]{36}/$"), lambda route: held.append(route))
    page.goto(ADDRESS)
    box(page, 1).focus()
    page.keyboard.press("Enter")
    shown = page.get_by_role("dialog")
    shown.locator(".skeleton").first.wait_for()
    page.keyboard.press("Escape")
    expect(shown).to_be_hidden()
    with page.expect_response(re.compile(r"/samples/[0-9a-f-]{36}/$")) as late:
        held.pop().continue_()
    late.value.finished()
    expect(page.locator(".htmx-request")).to_have_count(0)
    expect(shown).to_be_hidden()


def test_a_heat_map_that_there_is_not_is_said_and_the_picture_stays(
    page, reviewer, project, problems
):
    problems.expect()
    make_samples(project, 1)
    page.goto(ADDRESS)
    page.locator("[data-open]").click()
    page.get_by_role("dialog").get_by_text("Where it comes from").wait_for()
    page.keyboard.press("h")
    page.get_by_text("There is no heat map of this answer now.").wait_for()
    picture = page.locator("[data-picture]")
    assert picture.get_attribute("src").endswith("/picture/")


def test_the_rest_comes_when_it_is_scrolled_to(page, reviewer, project):
    make_samples(project, 65)
    page.goto(ADDRESS)
    page.locator(".more").scroll_into_view_if_needed()
    expect(page.locator("[data-grid] [name=sample]")).to_have_count(65)
    expect(page.locator(".more")).to_have_count(0)


def test_filters_are_chosen_removed_and_cleared(page, reviewer, project):
    samples = make_samples(project, 3)
    make_decision(samples[0], project.categories.get(name="gnocchi"))
    page.goto(ADDRESS)
    page.locator("#filters summary", has_text="Label").click()
    with page.expect_navigation():
        page.get_by_label("Label", exact=True).select_option("labelled")
    assert page.url.endswith("?state=labelled")
    page.get_by_text("1 of 3").wait_for()
    with page.expect_navigation():
        page.get_by_role("link", name="Label: Labelled").click()
    expect(page.locator("[data-grid] [name=sample]")).to_have_count(3)
    page.goto(f"{ADDRESS}?q=nothing")
    page.get_by_role("heading", name="No sample matches these filters").wait_for()
    page.get_by_role("link", name="Clear filters").last.click()
    expect(page.locator("[data-grid] [name=sample]")).to_have_count(3)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(new_page, live_server, sign_in, project, assert_accessible, scheme):
    make_samples(project, 9)
    page = new_page(
        live_server.url, viewport={"width": 390, "height": 800}, locale="fr", color_scheme=scheme
    )
    sign_in(page, make_user("maintainer"))
    page.goto(f"{ADDRESS}?answer=gnocchi&low=10")
    box(page, 0).click()
    page.locator("[data-bar] [data-label] summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    menu = page.locator("[data-bar] .menu-panel").bounding_box()
    assert menu["x"] >= 0
    assert menu["x"] + menu["width"] <= 390
    assert menu["y"] + menu["height"] <= 800
    assert_accessible(page)
    page.keyboard.press("Escape")
    page.locator("[data-open]").first.click()
    page.get_by_role("dialog").locator("[data-title]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert_accessible(page)


def test_without_a_script_the_form_labels_undoes_and_downloads(
    new_page, live_server, sign_in, project, tmp_path
):
    samples = make_samples(project, 3)
    page = new_page(live_server.url, java_script_enabled=False)
    sign_in(page, make_user("reviewer"))
    page.goto(ADDRESS)
    box(page, 0).check(force=True)
    page.locator("[data-bar] [data-label] summary").click()
    page.locator("[data-bar]").get_by_role("button", name="tiramisu").click()
    page.get_by_text("1 sample labelled as tiramisu.").wait_for()
    assert Decision.objects.get().sample == samples[0]
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("1 decision undone.").wait_for()
    box(page, 1).check(force=True)
    with page.expect_download() as download:
        page.locator("[data-bar]").get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "samples.zip")
    assert len(zipfile.ZipFile(tmp_path / "samples.zip").namelist()) == 2
    page.locator("[data-open]").first.click()
    page.get_by_role("heading", name="Sample").first.wait_for()


def test_a_second_user_without_the_right_sees_neither_the_entry_nor_the_page(
    page, sign_in, project, problems
):
    problems.expect()
    sign_in(page, make_user())
    page.goto("/projects/dishes/classify/")
    expect(page.get_by_role("navigation").get_by_role("link", name="Samples")).to_have_count(0)
    assert page.goto(ADDRESS).status == 403

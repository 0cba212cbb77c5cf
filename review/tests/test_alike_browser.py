"""Reviewing groups of alike samples in a real browser, by keyboard only."""

import pytest

from predictions.tests.factories import make_live_model, make_project, make_user
from review.models import Decision, Lease
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
    reviewer = make_user("reviewer")
    sign_in(page, reviewer)
    return reviewer


def see(page, title: str) -> None:
    """Wait until this group is shown, and the page listens."""
    page.get_by_role("heading", name=title).wait_for()
    page.locator("#group-shares").filter(has_text="left out").wait_for()


def test_a_hundred_alike_pictures_are_decided_in_under_ten_actions(page, reviewer, project):
    for _number in range(100):
        make_nok(project, suggestion="pizza")
    page.goto("/review/")
    page.get_by_role("link", name="Alike").click()
    see(page, "100 pictures may be pizza")
    page.keyboard.press("Enter")
    page.get_by_role("status").filter(has_text="100 decided as pizza.").wait_for()
    assert Decision.objects.filter(category__name="pizza", reviewer=reviewer).count() == 100
    assert Decision.objects.values("sample").distinct().count() == 100


def test_exceptions_are_taken_out_and_a_group_is_undone(page, reviewer, project, assert_accessible):
    samples = [make_nok(project, suggestion="pizza") for _ in range(4)]
    make_nok(project, suggestion="pasta")
    page.goto("/review/alike/")
    see(page, "4 pictures may be pizza")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.get_by_text("3 of 4, 1 left out").wait_for()
    assert_accessible(page)
    page.keyboard.press("Enter")
    see(page, "1 picture may be pasta")
    decided = set(Decision.objects.values_list("sample", flat=True))
    assert decided == {each.pk for each in samples} - {samples[1].pk}
    page.keyboard.press("u")
    page.get_by_text("3 undone.").wait_for()
    see(page, "4 pictures may be pizza")


def test_groups_are_walked_through_and_named_otherwise(page, reviewer, project):
    make_nok(project, suggestion="pizza")
    make_nok(project, suggestion="pizza")
    make_nok(project, suggestion="pasta")
    page.goto("/review/alike/")
    see(page, "2 pictures may be pizza")
    page.keyboard.press("j")
    see(page, "1 picture may be pasta")
    page.keyboard.press("k")
    see(page, "2 pictures may be pizza")
    page.keyboard.press("t")
    page.keyboard.type("focaccia")
    page.keyboard.press("Enter")
    page.get_by_role("status").filter(has_text="2 decided as focaccia.").wait_for()
    assert {str(each.category) for each in Decision.objects.all()} == {"focaccia"}


def test_the_page_of_groups_fits_a_phone_and_gives_back_what_it_holds(
    new_page, live_server, sign_in, project, assert_accessible
):
    for _number in range(5):
        make_nok(project, suggestion="a category with a name that is rather long for a phone")
    page = new_page(live_server.url, viewport={"width": 360, "height": 740})
    sign_in(page, make_user("reviewer"))
    page.goto("/review/alike/")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert_accessible(page)
    assert Lease.objects.count() == 5
    page.goto("/review/history/")
    page.wait_for_timeout(500)
    assert not Lease.objects.exists()


def test_the_form_works_without_javascript(new_page, live_server, sign_in, project):
    samples = [make_nok(project, suggestion="pizza") for _ in range(3)]
    page = new_page(live_server.url, java_script_enabled=False)
    sign_in(page, make_user("reviewer"))
    page.goto("/review/alike/")
    page.get_by_role("checkbox", name="Picture 2").uncheck()
    page.get_by_role("button", name="Decide the chosen as pizza").click()
    page.get_by_text("2 decided as pizza.").wait_for()
    assert not samples[1].decisions.exists()

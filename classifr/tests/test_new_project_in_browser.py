"""A new project in a real browser, from a folder of photos to its first answer; and its end."""

import re

import numpy as np
import pytest
from django.urls import reverse
from PIL import Image
from playwright.sync_api import expect

from accounts import roles
from accounts.tests.factories import make_maintainer, make_user
from common import jobs, tasks
from predictions import categories, registry
from predictions.models import Project
from predictions.tests.factories import make_live_model, make_project, make_sample
from review import decisions, ground_truth

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]

PHOTOS = 60  # in each folder


@pytest.fixture(autouse=True)
def world(settings):
    from django.apps import apps

    settings.DEFAULT_TRAINER = "dummy"
    roles.sync_role_groups(sender=apps.get_app_config("accounts"))
    tasks.autodiscover()


@pytest.fixture
def folder(tmp_path):
    """120 small photos that differ, in two folders within one."""
    noise = np.random.default_rng(7)
    for name, base in (("gnocchi", 60), ("risotto", 180)):
        (tmp_path / "dishes" / name).mkdir(parents=True)
        for number in range(PHOTOS):
            pixels = noise.integers(base - 50, base + 50, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "dishes" / name / f"{number}.jpg")
    return tmp_path / "dishes"


@pytest.fixture
def project():
    return make_project("Dishes", slug="dishes", categories=["gnocchi", "pizza", "risotto"])


def names(project):
    return [each.name for each in project.categories.all()]


def work(queue):
    """Do what waits, as a worker would; the page that waits for it looks again by itself."""
    assert jobs.run_due_jobs(queue)


def test_from_a_folder_of_photos_to_the_first_answer(page, sign_in, folder, assert_accessible):
    sign_in(page, make_maintainer())
    page.goto("/")
    page.get_by_role("main").get_by_role("link", name="New project").click()
    assert_accessible(page)
    page.get_by_label("Name").fill("Dishes")
    page.get_by_role("button", name="Create project").click()
    page.get_by_role("heading", name="Where are your pictures?").wait_for()
    assert_accessible(page)
    page.set_input_files("#dataset-folder", folder)
    page.get_by_text("Looking through the data set").wait_for()
    work("imports")
    page.get_by_role("heading", name="120 samples were found").wait_for()
    assert_accessible(page)
    page.get_by_role("button", name="Import what is ticked").click()
    page.get_by_text("Importing the data set").wait_for()
    work("imports")
    page.get_by_role("heading", name="120 labelled samples").wait_for()
    expect(page.locator(".chip", has_text="can be learned")).to_have_count(2)
    page.get_by_role("link", name="Continue to training").click()
    page.get_by_role("button", name="Train the model").click()
    page.get_by_text("It waits for a worker").wait_for()
    work("training")
    page.get_by_text("Version 1 live").wait_for()
    assert_accessible(page)
    page.set_input_files("#file", folder / "gnocchi" / "1.jpg")
    page.get_by_role("button", name="Classify").click()
    expect(page.locator("#result")).to_contain_text(re.compile("gnocchi|risotto"))
    project = Project.objects.get()
    assert project.predictions.count() == 1
    assert ground_truth.labelled_samples(project).count() == 2 * PHOTOS


def test_files_without_folders_are_refused_with_a_sentence(page, sign_in, tmp_path, project):
    sign_in(page, make_maintainer())
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "flat" / "a.jpg")
    page.goto(reverse("new_project:pictures", args=[project.slug]))

    page.set_input_files("#dataset-file", tmp_path / "flat" / "a.jpg")
    page.get_by_text("into a folder of its own").wait_for()
    assert not project.dataset_imports.exists()


def test_folders_on_the_classify_page_can_be_added_as_labelled_pictures(
    page, sign_in, folder, project
):
    make_live_model(project)
    sign_in(page, make_maintainer())
    page.goto(project.get_absolute_url())
    page.set_input_files("#folder", folder)
    page.get_by_role("button", name="Add them as labelled pictures").click()
    page.wait_for_url(re.compile(r"/projects/dishes/import/\d+/$"))
    work("imports")
    page.get_by_role("button", name="Import 120 samples").wait_for()


def test_who_may_not_add_categories_is_offered_only_to_classify(page, sign_in, folder, project):
    make_live_model(project)
    sign_in(page, make_user("user"))
    page.goto(project.get_absolute_url())
    page.set_input_files("#folder", folder)
    page.get_by_text("120 pictures chosen").wait_for()
    expect(page.get_by_role("button", name="Add them as labelled pictures")).to_have_count(0)


def test_a_user_gets_no_button_for_a_project_and_no_page(page, sign_in, project, problems):
    problems.expect()  # the browser writes down each 403
    sign_in(page, make_user("user"))
    page.goto("/")
    page.get_by_role("heading", name="Projects", exact=True).wait_for()
    expect(page.get_by_role("link", name="New project")).to_have_count(0)
    for address in (
        reverse("new_project:name"),
        reverse("new_project:pictures", args=[project.slug]),
        reverse("training:options", args=[project.slug]),
    ):
        assert page.goto(address).status == 403


def test_categories_are_ordered_and_merged_by_keyboard(page, sign_in, project, assert_accessible):
    maintainer = make_maintainer()
    sample = make_sample(project)
    decisions.label_sample(sample, project.categories.get(name="gnocchi"), by=maintainer)
    sign_in(page, maintainer)
    page.goto(reverse("training:categories", args=[project.slug]))
    assert_accessible(page)
    up = page.get_by_role("button", name="Move risotto up")
    up.focus()
    for expected in (["gnocchi", "risotto", "pizza"], ["risotto", "gnocchi", "pizza"]):
        with page.expect_response(re.compile("/categories/")):
            page.keyboard.press("Enter")
        expect(page.locator("#category-list h3")).to_contain_text(expected)
        expect(up).to_be_focused()
        assert names(project) == expected
    page.locator("summary", has_text="Merge… gnocchi").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("pizza")
    page.keyboard.press("Enter")
    page.get_by_text("“gnocchi” is part of “pizza” now").wait_for()
    assert names(project) == ["risotto", "pizza"]
    assert decisions.latest_decision(sample).category.name == "pizza"
    assert_accessible(page)


def test_a_project_is_deleted_after_its_name_was_typed(
    page, sign_in, project, assert_accessible, problems
):
    problems.expect()  # the browser writes down the refusal
    make_live_model(project)
    sign_in(page, make_maintainer())
    page.goto(reverse("training:options", args=[project.slug]))
    assert_accessible(page)
    field = page.get_by_label("Type the name of the project: Dishes")
    field.fill("Dish")
    page.get_by_role("button", name="Delete the project").click()
    page.get_by_text("nothing was deleted").wait_for()
    assert registry.live_version(project)
    field.fill("Dishes")
    page.get_by_role("button", name="Delete the project").click()
    page.get_by_text("is being deleted, with everything in it").wait_for()
    work("default")
    assert not Project.everywhere.exists()


@pytest.mark.parametrize(("locale", "scheme"), [("fr", "dark"), ("ja", "light")])
def test_the_pages_fit_a_phone(
    new_page, live_server, sign_in, project, assert_accessible, locale, scheme
):
    categories.add_category(project, "a category whose name leaves a phone no room at all")
    page = new_page(
        live_server.url,
        locale=locale,
        color_scheme=scheme,
        viewport={"width": 390, "height": 800},
    )
    sign_in(page, make_maintainer())
    for address in (
        reverse("home"),
        reverse("new_project:name"),
        reverse("new_project:pictures", args=[project.slug]),
        reverse("new_project:train", args=[project.slug]),
        reverse("overview", args=[project.slug]),
        reverse("training:categories", args=[project.slug]),
        reverse("training:options", args=[project.slug]),
    ):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address
        assert_accessible(page)

"""Importing a project in a real browser: by keyboard, on a phone, with live progress."""

import threading

import pytest
from django.db import connections
from playwright.sync_api import expect

from common import jobs
from customvision.importer import (
    import_jobs,
    tasks,  # noqa: F401 (defines the task)
)
from customvision.importer.tests.remote_factories import make_iteration, make_remote
from predictions.models import Project
from predictions.tests.factories import make_user
from training.tests.factories import make_finished_run

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]

PHONE = {"width": 360, "height": 740}


@pytest.fixture
def phone(new_page, live_server, sign_in, problems):
    page = new_page(live_server.url, viewport=PHONE)
    sign_in(page, make_user("maintainer"))
    yield page
    assert problems == []


def assert_fits(page):
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def work_in_the_background() -> threading.Thread:
    def work() -> None:
        jobs.run_due_jobs("imports")
        connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    return worker


def test_a_project_comes_home_by_keyboard_alone(phone, custom_vision, assert_accessible):
    there = make_remote(custom_vision, each=30)
    make_iteration(there, name="The best one")
    halfway, go_on = threading.Event(), threading.Event()
    blob, pictures = custom_vision.blob, []

    def held_up(name, query):
        pictures.append(name)
        if len(pictures) > 40:
            halfway.set()
            go_on.wait(60)
        return blob(name, query)

    custom_vision.blob = held_up
    phone.goto("/training/imports/custom-vision/")
    assert_accessible(phone)
    assert_fits(phone)
    phone.get_by_label("Endpoint of the training resource").focus()
    phone.keyboard.type(custom_vision.endpoint)
    phone.keyboard.press("Tab")
    phone.keyboard.type(custom_vision.training_key)
    phone.keyboard.press("Enter")
    expect(phone.get_by_role("heading", name="Choose projects")).to_be_visible()
    assert custom_vision.training_key not in phone.content()
    assert_accessible(phone)
    assert_fits(phone)
    choice = phone.get_by_role("checkbox", name="Plates")
    expect(choice).to_be_checked()  # the only one
    choice.focus()
    phone.keyboard.press("Tab")
    phone.keyboard.press("Tab")
    phone.keyboard.press("Enter")
    expect(phone.get_by_text("It waits for a worker")).to_be_visible()
    worker = work_in_the_background()
    try:
        assert halfway.wait(60)
        expect(phone.get_by_text("32 of 60")).to_be_visible()
        assert_accessible(phone)
        assert_fits(phone)
    finally:
        go_on.set()
        worker.join()
    expect(phone.get_by_text("Complete: everything was imported.")).to_be_visible()
    expect(phone.get_by_role("rowheader", name="The best one")).to_be_visible()
    assert_accessible(phone)
    assert_fits(phone)


def test_a_runs_page_draws_both_models_side_by_side(phone, custom_vision, assert_accessible):
    make_iteration(make_remote(custom_vision, each=30), name="The best one")
    access = import_jobs.store_access(custom_vision.endpoint, custom_vision.training_key, by=None)
    import_jobs.request_import(
        access, import_jobs.open_service(access).projects()[0], with_predictions=False, by=None
    )
    jobs.run_due_jobs("imports")
    Project.objects.update(trainer="dummy")
    run = make_finished_run(Project.objects.get())
    phone.goto(f"/training/runs/{run.pk}/")
    expect(
        phone.get_by_role("heading", name="Beside “The best one” of Custom Vision")
    ).to_be_visible()
    assert_accessible(phone)
    assert_fits(phone)

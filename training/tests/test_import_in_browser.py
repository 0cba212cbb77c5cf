"""A data set goes in and out again in a real browser, also on a phone."""

import zipfile

import pytest
from playwright.sync_api import expect

from accounts import roles
from accounts.tests.factories import make_maintainer
from common import jobs
from predictions.models import Sample
from predictions.tests.factories import make_project
from training.data import datasets
from training.tests.test_formats import pack, pictures

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def project():
    from django.apps import apps

    roles.sync_role_groups(sender=apps.get_app_config("accounts"))
    return make_project(categories=[])


@pytest.fixture
def archive(tmp_path):
    names = [f"train/{kind}/{number}.png" for kind in ("cats", "dogs") for number in range(6)]
    long_name = f"test/cats/{'a name that leaves a phone no room ' * 4}.png"
    return pack(tmp_path / "pets.zip", pictures(*names) | {long_name: b"no picture"})


def assert_fits(page) -> None:
    widths = "[document.documentElement.scrollWidth, window.innerWidth]"
    needed, there = page.evaluate(widths)
    assert needed <= there


def test_a_data_set_is_seen_before_it_is_taken_and_goes_out_again(
    page, sign_in, project, archive, assert_accessible, tmp_path
):
    sign_in(page, make_maintainer())
    page.goto(f"/projects/{project.slug}/import/")
    assert_accessible(page)
    page.locator("#id_dataset").set_input_files(archive)
    page.get_by_role("button", name="Look through it").click()
    expect(page.get_by_role("heading", name="Looking through the data set")).to_be_visible()
    assert_accessible(page)
    jobs.run_due_jobs("imports")
    expect(page.get_by_role("heading", name="12 samples would be added")).to_be_visible()
    assert not Sample.objects.exists()
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert_accessible(page)
        assert_fits(page)
    page.get_by_role("button", name="Import 12 samples").press("Enter")
    expect(page.get_by_role("heading", name="Importing the data set")).to_be_visible()
    jobs.run_due_jobs("imports")
    expect(page.get_by_role("heading", name="12 samples were added")).to_be_visible()
    with page.expect_download() as report:
        page.get_by_role("link", name="Report of each file").click()
    assert "unreadable" in report.value.path().read_text()

    dataset = datasets.freeze_dataset(project)
    page.goto(f"/training/data-sets/{dataset.pk}/")
    assert_accessible(page)
    assert_fits(page)
    with page.expect_download() as exported:
        page.get_by_role("link", name="COCO").click()
    assert len(zipfile.ZipFile(exported.value.path()).namelist()) == 13


def test_the_files_of_a_model_are_prepared_and_downloaded(
    page, sign_in, live_server, assert_accessible
):
    from predictions.predictors.local import bundles
    from predictions.tests.factories import make_model_version

    project = make_project(categories=["cats"])
    reference, digest = bundles.write_bundle(project.slug, {bundles.HEAD: b"a head"}, {})
    version = make_model_version(
        project, predictor="keras", reference=reference, digest=digest, class_names=["cats"]
    )
    sign_in(page, make_maintainer())
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"/training/{project.slug}/models/")
    page.get_by_role("link", name=f"Download version {version.number}").click()
    page.get_by_role("button", name="Prepare Bundle").click()
    expect(page.get_by_text("under way")).to_be_visible()
    assert_accessible(page)
    assert_fits(page)
    jobs.run_due_jobs()
    with page.expect_download() as bundle:
        page.get_by_role("link", name="Download Bundle").click()
    assert bundles.HEAD in zipfile.ZipFile(bundle.value.path()).namelist()

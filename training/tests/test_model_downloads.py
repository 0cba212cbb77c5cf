"""Model versions as files: offered, made by a worker, served."""

import io
import zipfile

import pytest

from accounts.tests.factories import make_maintainer
from common import jobs
from predictions.models import ModelVersion
from predictions.predictors.local import bundles
from predictions.tests.factories import make_model_version, make_project
from training import exports, model_downloads

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> ModelVersion:
    project = make_project(categories=["cats"])
    files = {bundles.HEAD: b"a head"}
    reference, digest = bundles.write_bundle(project.slug, files, {"backbone": {"name": "x"}})
    return make_model_version(
        project, predictor="keras", reference=reference, digest=digest, class_names=["cats"]
    )


@pytest.fixture
def page(client, version):
    client.force_login(make_maintainer())
    return f"/training/model-versions/{version.pk}/downloads/"


def test_a_bundle_is_made_by_a_worker_and_downloaded(client, page, version):
    assert client.get(f"{page}bundle/").status_code == 404
    told = client.post(page, {"format": "bundle"}, follow=True).content.decode()
    assert "under way" in told
    jobs.run_due_jobs()
    assert f"{page}bundle/" in client.get(page).content.decode()
    answer = client.get(f"{page}bundle/")
    archive = zipfile.ZipFile(io.BytesIO(b"".join(answer)))
    assert archive.read(bundles.HEAD) == b"a head"
    assert f"{version.project.slug}-v{version.number}-bundle.zip" in answer["Content-Disposition"]


def test_what_was_made_of_a_version_can_be_found_again(client, page, version):
    assert model_downloads.stored_files(version, version.project.slug) == []
    client.post(page, {"format": "bundle"})
    jobs.run_due_jobs()
    (name,) = model_downloads.stored_files(version, version.project.slug)
    assert name.startswith(f"{version.project.slug}/downloads/") and "bundle" in name


def test_other_formats_are_built_as_exports_are(client, page, monkeypatch):
    built = []

    def build(model, labels, of):
        built.append((labels, of))
        return b"zip"

    monkeypatch.setattr(exports, "build_archive", build)
    client.post(page, {"format": "onnx"})
    jobs.run_due_jobs()
    client.post(page, {"format": "onnx"})
    jobs.run_due_jobs()
    assert built == [(["cats"], "onnx")]
    assert b"".join(client.get(f"{page}onnx/")) == b"zip"


def test_why_one_cannot_be_made_stands_on_the_page(client, page, monkeypatch):
    def refuse(*arguments):
        raise exports.CannotExport("The backbone has changed.")

    monkeypatch.setattr(exports, "build_archive", refuse)
    client.post(page, {"format": "lite"})
    jobs.run_due_jobs()
    assert "The backbone has changed." in client.get(page).content.decode()


def test_a_model_that_is_no_file_here_is_not_offered(client, page):
    other = make_model_version(make_project(), predictor="azure", reference="an-iteration")
    assert model_downloads.formats_of(other) == []
    answer = client.get(f"/training/model-versions/{other.pk}/downloads/")
    assert "cannot be downloaded here" in answer.content.decode()


def test_a_format_that_nobody_knows_is_refused(client, page):
    assert client.post(page, {"format": "floppy"}).status_code == 404

"""A project comes home from Custom Vision: whole, once, and whatever happens on the way."""

import os
import signal
from collections import Counter
from uuid import UUID

import pytest
from django.core.management import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from common.media.images import decode_upload
from common.models import Job
from customvision.client import client
from customvision.client.tests import answers, faults
from customvision.client.tests.world import Image, Tag
from customvision.importer import downloads, service
from customvision.importer.tests.remote_factories import (
    bring_home,
    make_iteration,
    make_remote,
    make_stored,
    plate,
)
from customvision.models import ImportedImage, ImportedPrediction, ImportedProject, ServiceAccess
from predictions.models import Project, Sample
from review import decisions, ground_truth
from review.models import Decision

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Let the pauses be short, and the tier generous."""
    monkeypatch.setattr(downloads, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(client, "MAX_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(service, "OTHER_CALLS_PER_SECOND", {"F0": 1000})


def truth(project: Project) -> Counter[str]:
    return Counter(
        ground_truth.labelled_samples(project).values_list("decisions__category__name", flat=True)
    )


def only_project() -> Project:
    return ImportedProject.objects.get().project


def test_a_project_comes_home_with_its_categories_pictures_and_labels(custom_vision):
    there = make_remote(custom_vision)
    told = bring_home(custom_vision, "Plates")
    project = only_project()
    assert (project.name, project.description, str(project.uuid)) == (
        "Plates",
        "What is on it",
        there.id,
    )
    assert truth(project) == {"dark": 5, "light": 5}
    dark = project.categories.get(name="dark")
    assert dark.description == "nearly black" and str(dark.uuid) == there.tag_named("dark").id
    assert set(project.samples.values_list("sha256", flat=True)) == {
        decode_upload(one.data, least_side=1).sha256 for one in there.images.values()
    }
    assert set(project.samples.values_list("origin", flat=True)) == {Sample.Origin.IMPORT}
    assert "Complete: everything was imported." in told


def test_links_are_followed_without_the_key(custom_vision):
    make_remote(custom_vision)
    bring_home(custom_vision)
    assert len(custom_vision.calls("link")) == 10
    assert custom_vision.leaked_keys == 0


def test_a_second_import_fetches_nothing_and_doubles_nothing(custom_vision):
    make_remote(custom_vision)
    bring_home(custom_vision)
    before = (Sample.objects.count(), Decision.objects.count(), ImportedImage.objects.count())
    told = bring_home(custom_vision)
    assert (
        Sample.objects.count(),
        Decision.objects.count(),
        ImportedImage.objects.count(),
    ) == before
    assert len(custom_vision.calls("link")) == 10
    assert "0 fetched now, 0 labelled now" in told and "Complete" in told


@pytest.mark.django_db(transaction=True)
def test_labels_that_come_home_outlive_a_power_cut(custom_vision):
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL flushes every commit")
    make_remote(custom_vision, each=1)
    with CaptureQueriesContext(connection) as queries:
        bring_home(custom_vision)
    done = [query["sql"] for query in queries]
    ruled = next(i for i, sql in enumerate(done) if sql.startswith('INSERT INTO "review_decision"'))
    levels = [sql for sql in done[:ruled] if sql.startswith("PRAGMA synchronous")]
    assert levels and levels[-1] == "PRAGMA synchronous=FULL"


def test_a_second_import_takes_up_what_is_new_and_tags_that_have_changed(custom_vision):
    there = make_remote(custom_vision)
    bring_home(custom_vision)
    dark, light = there.tag_named("dark"), there.tag_named("light")
    changed, untagged, *_rest = there.tagged(dark.id)
    changed.tags, untagged.tags = {light.id: changed.created}, {}
    there.put(plate(100), [light.id])
    told = bring_home(custom_vision)
    assert "1 fetched now, 2 labelled now; 1 without a tag" in told
    assert truth(only_project()) == {"dark": 3, "light": 7}
    assert bring_home(custom_vision).count("0 fetched now, 0 labelled now") == 1


def test_what_a_reviewer_ruled_here_is_left_alone(custom_vision):
    there = make_remote(custom_vision)
    bring_home(custom_vision)
    project, image = only_project(), there.tagged(there.tag_named("dark").id)[0]
    sample = Sample.objects.get(imported_images__remote_id=image.id)
    decisions.label_many(
        project, [(sample, project.categories.get(name="light"))], by=None, reason="I looked"
    )
    told = bring_home(custom_vision)
    assert truth(project) == {"dark": 4, "light": 6}
    assert f"{image.id}: light" in told


def test_untagged_images_and_those_with_several_tags_come_without_a_label(custom_vision):
    there = make_remote(custom_vision)
    there.put(plate(120), [])
    _status, both = there.put(plate(130), [])
    both.tags.update(dict.fromkeys(there.tags, both.created))  # as the service would not let it be
    told = bring_home(custom_vision)
    assert Sample.objects.count() == 12 and truth(only_project()) == {"dark": 5, "light": 5}
    assert "1 without a tag, 1 with several tags" in told
    assert "those with several tags are kept without a label" in told
    several = next(one for one in there.images.values() if len(one.tags) == 2)
    assert several.id in told


def test_a_multilabel_project_comes_as_one_with_all_its_tags(custom_vision):
    there = make_remote(custom_vision, classification="Multilabel")
    _status, both = there.put(plate(130), list(there.tags))
    told = bring_home(custom_vision)
    project = only_project()
    assert project.multilabel and "Complete: everything was imported." in told
    assert "kept without a label" not in told
    sample = ImportedImage.objects.get(remote_id=both.id).sample
    decision = decisions.latest_decision(sample)
    also = [one.category for one in decision.additional_categories.all()]
    assert {decision.category.name, *(one.name for one in also)} == {"dark", "light"}
    assert ground_truth.labelled_samples(project).count() == 11


def test_a_tag_that_is_added_to_a_multilabel_image_comes_with_the_next_import(custom_vision):
    there = make_remote(custom_vision, classification="Multilabel")
    bring_home(custom_vision)
    image = next(iter(there.images.values()))
    there.put_tags(image, list(there.tags))
    bring_home(custom_vision)
    sample = ImportedImage.objects.get(remote_id=image.id).sample
    assert decisions.latest_decision(sample).additional_categories.count() == 1
    bring_home(custom_vision)
    assert Decision.objects.filter(sample=sample).count() == 2, "and is no change the next time"


def test_a_negative_tag_is_a_category_as_any_other(custom_vision):
    there = make_remote(custom_vision)
    tag = Tag("neither", type="Negative")
    there.tags[tag.id] = tag
    there.put(plate(120), [tag.id])
    assert "neither (Negative)" in bring_home(custom_vision)
    assert truth(only_project())["neither"] == 1
    assert ImportedProject.objects.get().tags.get(name="neither").type == "Negative"


def test_iterations_come_as_history(custom_vision):
    there = make_remote(custom_vision)
    iteration = make_iteration(there)
    bring_home(custom_vision)
    found = ImportedProject.objects.get().iterations.get()
    assert (found.name, found.published_as, str(found.remote_id)) == (
        "Iteration 1",
        "production",
        iteration.id,
    )
    assert found.trained_at and found.performance["overall"]["recall"] == 1
    dark = there.tag_named("dark").id
    assert found.performance["per_tag"][dark] == {
        "name": "dark",
        "precision": 1.0,
        "recall": 1.0,
        "average_precision": 1.0,
    }


def test_stored_predictions_come_when_asked_for(custom_vision):
    there = make_remote(custom_vision)
    iteration = make_iteration(there)
    for shade in (60, 70):
        make_stored(there, iteration, shade)
    bring_home(custom_vision)
    assert not ImportedPrediction.objects.exists()
    told = bring_home(custom_vision, "--all", "--with-predictions")
    first = ImportedPrediction.objects.select_related("sample", "iteration").order_by("remote_id")[
        0
    ]
    assert first.iteration.name == "Iteration 1" and list(first.scores) == ["dark", "light"]
    assert first.sample.has_picture and decisions.latest_decision(first.sample) is None
    assert "stored predictions      2     2       0" in told
    links = len(custom_vision.calls("link"))
    bring_home(custom_vision, "--all", "--with-predictions")
    assert ImportedPrediction.objects.count() == 2 and len(custom_vision.calls("link")) == links


def test_more_pages_than_one(custom_vision, monkeypatch):
    monkeypatch.setattr(service, "PAGE", 3)
    there = make_remote(custom_vision)
    iteration = make_iteration(there)
    for shade in range(60, 67):
        make_stored(there, iteration, shade)
    bring_home(custom_vision, "--all", "--with-predictions")
    assert (ImportedImage.objects.count(), ImportedPrediction.objects.count()) == (10, 7)


def test_a_project_that_detects_objects_is_refused(custom_vision, monkeypatch):
    domain = answers.domain
    monkeypatch.setattr(
        answers, "domain", lambda id_, name: domain(id_, name) | {"type": "ObjectDetection"}
    )
    make_remote(custom_vision)
    assert "object detection, cannot be imported" in bring_home(custom_vision, "--list")
    with pytest.raises(CommandError, match="object detection"):
        bring_home(custom_vision, "Plates")
    assert not Project.objects.exists()


def test_a_name_that_is_not_there_is_told_with_those_that_are(custom_vision):
    make_remote(custom_vision)
    with pytest.raises(CommandError, match="no project “Cars”.*Plates"):
        bring_home(custom_vision, "Cars")


def test_an_id_will_do_for_a_name(custom_vision):
    there = make_remote(custom_vision)
    make_remote(custom_vision)
    with pytest.raises(CommandError, match="more than one"):
        bring_home(custom_vision, "Plates")
    bring_home(custom_vision, there.id)
    assert only_project().uuid == UUID(there.id)


def test_another_project_of_that_name_is_not_touched(custom_vision):
    own = Project.objects.create(name="Plates", slug="plates")
    make_remote(custom_vision)
    bring_home(custom_vision)
    assert (
        only_project() != own
        and only_project().slug.startswith("plates-")
        and not own.samples.exists()
    )


# Faults


@pytest.mark.parametrize(
    "fault",
    [
        faults.too_many("0.05"),
        faults.server_error(),
        faults.unavailable(),
        faults.reset(),
        faults.slow(0.05),
    ],
)
def test_a_fault_that_passes_costs_nothing_but_time(custom_vision, fault):
    there = make_remote(custom_vision)
    make_iteration(there)
    for operation in (
        "get_projects",
        "get_images",
        "get_tags",
        "get_iteration_performance",
        "link",
    ):
        custom_vision.fail(operation, fault, fault)
    assert "Complete" in bring_home(custom_vision)
    assert truth(only_project()) == {"dark": 5, "light": 5}
    assert ImportedProject.objects.get().iterations.get().performance


@pytest.mark.parametrize("fault", [faults.too_many("600"), faults.server_error(), faults.reset()])
def test_a_fault_that_stays_is_told_and_what_came_is_kept(custom_vision, fault, monkeypatch):
    monkeypatch.setattr(service, "PAGE", 4)
    make_remote(custom_vision)
    original = service.TrainingService.images

    def breaks_after_a_page(self, project):
        pages = original(self, project)
        yield next(pages)
        self._patience = 0.5
        custom_vision.fail("get_images", fault, always=True)
        yield from pages

    monkeypatch.setattr(service.TrainingService, "images", breaks_after_a_page)
    with pytest.raises(CommandError, match="Try again in .* What came until then is kept"):
        bring_home(custom_vision)
    assert ImportedImage.objects.count() == 4 and Job.objects.get().status == Job.Status.FAILED
    monkeypatch.setattr(service.TrainingService, "images", original)
    custom_vision.heal()
    assert "6 fetched now" in bring_home(custom_vision)
    assert len(custom_vision.calls("link")) == 10


def test_a_wrong_key_is_told_without_telling_it(custom_vision, caplog):
    make_remote(custom_vision)
    with pytest.raises(CommandError, match="does not accept our key") as refused:
        bring_home(custom_vision, training_key="no-such-key-4711")
    assert "4711" not in str(refused.value) + caplog.text
    assert not ServiceAccess.objects.exists() and not Project.objects.exists()


@pytest.mark.parametrize("endpoint", ["", "http://example.com", "example.com", "ftp://example.com"])
def test_a_key_is_sent_to_no_address_without_encryption(custom_vision, endpoint):
    with pytest.raises(CommandError, match="endpoint|https"):
        bring_home(custom_vision, endpoint=endpoint)
    assert not ServiceAccess.objects.exists()


def test_an_endpoint_that_nobody_answers_at_is_told(custom_vision, monkeypatch):
    monkeypatch.setattr(service, "PATIENCE_SECONDS", 0.5)
    with pytest.raises(CommandError, match="does not answer"):
        bring_home(custom_vision, endpoint="http://127.0.0.1:9")


def test_a_link_that_has_ended_is_asked_for_again(custom_vision, monkeypatch):
    make_remote(custom_vision)
    original = service.TrainingService.images

    def late(self, project):
        for page in original(self, project):
            custom_vision.expire_links()
            yield page

    monkeypatch.setattr(service.TrainingService, "images", late)
    assert "Complete" in bring_home(custom_vision)
    assert Counter(one.status for one in custom_vision.calls("link")) == {403: 10, 200: 10}
    assert len(custom_vision.calls("get_images_by_ids")) == 1


def test_links_of_stored_predictions_that_have_ended_are_asked_for_again(
    custom_vision, monkeypatch
):
    there = make_remote(custom_vision)
    iteration = make_iteration(there)
    make_stored(there, iteration, 60)
    original = service.TrainingService.predictions

    def late(self, project):
        for page in original(self, project):
            custom_vision.expire_links()
            yield page

    monkeypatch.setattr(service.TrainingService, "predictions", late)
    assert "Complete" in bring_home(custom_vision, "--all", "--with-predictions")
    assert ImportedPrediction.objects.get().sample.has_picture


def test_an_image_that_the_service_counts_and_does_not_list_is_missed(custom_vision, monkeypatch):
    make_remote(custom_vision)
    original = service.TrainingService.images
    monkeypatch.setattr(
        service.TrainingService,
        "images",
        lambda self, project: (page[1:] for page in original(self, project)),
    )
    with pytest.raises(CommandError, match="missing"):
        bring_home(custom_vision)
    images = ImportedProject.objects.get().report["images"]
    assert (images["there"], images["here"], images["failed"]) == (10, 9, 0)


def test_ctrl_c_stops_it_and_the_next_one_goes_on(custom_vision):
    make_remote(custom_vision, each=20)
    blob, asked = custom_vision.blob, []

    def interrupting(name, query):
        asked.append(name)
        if len(asked) == 20:
            os.kill(os.getpid(), signal.SIGINT)
        return blob(name, query)

    custom_vision.blob = interrupting
    with pytest.raises(CommandError, match="Stopped. Run it again") as stopped:
        bring_home(custom_vision)
    assert stopped.value.returncode == 130
    assert Job.objects.get().status == Job.Status.CANCELLED and not ServiceAccess.objects.exists()
    kept = ImportedImage.objects.count()
    assert 16 <= kept < 40
    assert f"{40 - kept} fetched now" in bring_home(custom_vision)
    assert truth(only_project()) == {"dark": 20, "light": 20}


def test_what_is_no_picture_is_told_and_tried_again_next_time(custom_vision):
    there = make_remote(custom_vision)
    tag = there.tag_named("dark")
    broken = Image(b"<html>not a picture</html>", (1, 1), {tag.id: there.created})
    there.images[broken.id] = broken
    for _time in range(2):
        with pytest.raises(CommandError, match="Something is missing"):
            bring_home(custom_vision)
    row = ImportedImage.objects.get(sample=None)
    assert str(row.remote_id) == broken.id and "not a readable picture" in row.problem
    report = ImportedProject.objects.get().report
    assert {one["name"]: (one["there"], one["here"], one["failed"]) for one in report["tags"]} == {
        "dark": (6, 5, 1),
        "light": (5, 5, 0),
    }
    broken.data = plate(50)
    assert "Complete" in bring_home(custom_vision)
    assert truth(only_project()) == {"dark": 6, "light": 5}


def test_a_picture_that_is_too_large_is_told(custom_vision, monkeypatch):
    monkeypatch.setattr(downloads, "MAX_BYTES", 100)
    make_remote(custom_vision, each=1)
    with pytest.raises(CommandError, match="missing"):
        bring_home(custom_vision)
    assert {row.problem for row in ImportedImage.objects.all()} == {
        "The picture is larger than 6 MB."
    }


def test_the_same_bytes_twice_are_one_sample_of_two_images(custom_vision):
    there = make_remote(custom_vision)
    dark, light = there.tag_named("dark"), there.tag_named("light")
    first = there.tagged(dark.id)[0]
    for tag in (dark, light):
        twin = Image(first.data, first.size, {tag.id: there.created})
        there.images[twin.id] = twin
    told = bring_home(custom_vision)
    assert Sample.objects.count() == 10 and ImportedImage.objects.count() == 12
    assert "2 with the same bytes as another" in told
    assert "Ruled otherwise here, left alone:" in told
    assert sum(truth(only_project()).values()) == 10


def test_a_project_deleted_meanwhile_ends_the_import_and_loses_nothing(custom_vision, monkeypatch):
    monkeypatch.setattr(service, "PAGE", 4)
    there = make_remote(custom_vision)
    original = service.TrainingService.images

    def deleted_after_a_page(self, project):
        pages = original(self, project)
        yield next(pages)
        del custom_vision.projects[there.id]
        yield from pages

    monkeypatch.setattr(service.TrainingService, "images", deleted_after_a_page)
    with pytest.raises(
        CommandError, match="no longer exists. What was imported until then is kept"
    ):
        bring_home(custom_vision)
    assert Sample.objects.count() == 4


def test_an_image_deleted_meanwhile_is_not_missed(custom_vision, monkeypatch):
    there = make_remote(custom_vision)
    original = service.TrainingService.images

    def deleted(self, project):
        for page in original(self, project):
            there.images.pop(str(page[0].id), None)
            yield page

    monkeypatch.setattr(service.TrainingService, "images", deleted)
    assert "Complete" in bring_home(custom_vision)
    assert Sample.objects.count() >= 1


def test_a_picture_lost_here_is_noticed(custom_vision):
    make_remote(custom_vision)
    bring_home(custom_vision)
    sample = Sample.objects.first()
    sample.storage.delete(sample.file_name)
    with pytest.raises(CommandError, match="missing"):
        bring_home(custom_vision)
    assert ImportedProject.objects.get().report["images"]["here"] == 9


def test_every_picture_can_be_fetched_again_and_compared(custom_vision):
    there = make_remote(custom_vision)
    bring_home(custom_vision)
    assert "Complete" in bring_home(custom_vision, "--all", "--verify")
    assert len(custom_vision.calls("link")) == 20
    changed = next(iter(there.images.values()))
    changed.data = plate(99)
    with pytest.raises(CommandError, match="missing"):
        bring_home(custom_vision, "--all", "--verify")
    assert ImportedProject.objects.get().report["differing"] == [changed.id]

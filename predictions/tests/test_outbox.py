import json

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages

from common import jobs, tasks
from common.models import Job
from predictions import feedback, outbox
from predictions.models import Sample
from predictions.tests.factories import make_model_version, make_prediction, make_project, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def handlers():
    tasks.autodiscover()


def facts_of(sample: Sample) -> dict:
    with storages["misclassified"].open(f"{sample.project.slug}/{sample.uuid}.json") as file:
        return json.load(file)


def run_everything_due() -> int:
    Job.objects.update(due_at="2020-01-01T00:00Z")
    return jobs.run_due_jobs()


def test_a_nok_ends_in_misclassified_with_its_prediction_beside_it():
    prediction = make_prediction(project=make_project(slug="dishes"))
    before, data = prediction.sample.file_name, prediction.sample.read()
    given = feedback.give_feedback(prediction, "NOK", by=prediction.user, category="crème brûlée")
    jobs.run_due_jobs()
    assert storages["uploads"].exists(before), "until the other copy has proved to be there"
    run_everything_due()
    sample = Sample.objects.get()
    assert sample.location == Sample.Location.MISCLASSIFIED
    assert sample.file_name == f"dishes/{sample.uuid}.jpg"
    assert sample.read() == data
    assert not storages["uploads"].exists(before)
    facts = facts_of(sample)
    assert (facts["project"], facts["sha256"]) == ("dishes", sample.sha256)
    (nok,) = facts["noks"]
    assert nok["prediction"] == str(prediction.uuid)
    assert nok["scores"] == prediction.scores
    assert nok["model_version"] == prediction.model_version.number
    assert (nok["verdict"], nok["suggestion"], nok["user"]) == (
        "NOK",
        "crème brûlée",
        prediction.user.pk,
    )
    assert nok["given_at"] == given.created_at.isoformat()


def test_metadata_is_ascii_and_names_the_essentials(monkeypatch):
    written = {}

    def save(self, name, data, metadata):
        written[name] = metadata
        return name

    monkeypatch.setattr("common.storages.DiskStorage.save_with_metadata", save)
    prediction = make_prediction()
    outbox.store_misclassified(
        feedback.give_feedback(prediction, "NOK", by=prediction.user, category="crème 🍮").pk
    )
    assert len(written) == 2
    for metadata in written.values():
        assert metadata["prediction"] == str(prediction.uuid)
        assert metadata["predicted"] == prediction.top.name
        assert metadata["suggestion"] == "cr\\xe8me \\U0001f36e"
        assert all(
            f"{key}{value}".isascii() and key.isidentifier() for key, value in metadata.items()
        )


def test_while_the_store_is_down_nothing_is_lost_and_it_is_tried_again(monkeypatch):
    prediction = make_prediction()
    feedback.give_feedback(prediction, "NOK", by=prediction.user)
    with monkeypatch.context() as broken:
        broken.setattr("common.storages.DiskStorage.save_with_metadata", _refuse)
        for _attempt in range(12):
            run_everything_due()
    job = Job.objects.get()
    assert job.status == Job.Status.WAITING
    assert "not now" in job.error
    assert Sample.objects.get().read()
    run_everything_due()
    assert Sample.objects.get().location == Sample.Location.MISCLASSIFIED


def test_once_the_store_takes_one_picture_it_is_given_the_others_at_once(monkeypatch):
    waiting, next_one = make_prediction(), make_prediction()
    feedback.give_feedback(waiting, "NOK", by=waiting.user)
    with monkeypatch.context() as broken:
        broken.setattr("common.storages.DiskStorage.save_with_metadata", _refuse)
        jobs.run_due_jobs()
    assert not Job.objects.due().exists(), "it was refused, and waits"
    feedback.give_feedback(next_one, "NOK", by=next_one.user)
    jobs.run_due_jobs()
    assert {each.location for each in Sample.objects.all()} == {Sample.Location.MISCLASSIFIED}


@pytest.mark.parametrize(
    ("module", "step"), [(outbox, "_write"), (outbox, "_point_at"), (jobs, "insert")]
)
def test_a_crash_after_any_step_loses_nothing(monkeypatch, module, step):
    prediction = make_prediction()
    given = feedback.give_feedback(prediction, "NOK", by=prediction.user)
    with monkeypatch.context() as broken:
        done = getattr(module, step)

        def do_and_die(*args, **kwargs):
            done(*args, **kwargs)
            raise KeyboardInterrupt

        broken.setattr(module, step, do_and_die)
        with pytest.raises(KeyboardInterrupt):
            outbox.store_misclassified(given.pk)
    assert Sample.objects.get().read()
    outbox.store_misclassified(given.pk)
    run_everything_due()
    sample = Sample.objects.get()
    assert sample.location == Sample.Location.MISCLASSIFIED
    assert sample.read()
    assert facts_of(sample)["noks"]


@pytest.mark.parametrize("lost", ["picture", "facts", "both"])
def test_what_a_dying_blob_service_forgets_is_stored_again(lost):
    prediction = make_prediction()
    data = prediction.sample.read()
    outbox.store_misclassified(feedback.give_feedback(prediction, "NOK", by=prediction.user).pk)
    sample = Sample.objects.get()
    for name, part in (
        (sample.file_name, "picture"),
        (f"{sample.project.slug}/{sample.uuid}.json", "facts"),
    ):
        if lost in (part, "both"):
            storages["misclassified"].delete(name)
    for _round in range(3):
        run_everything_due()
    sample.refresh_from_db()
    assert sample.location == Sample.Location.MISCLASSIFIED
    assert sample.read() == data
    assert len(facts_of(sample)["noks"]) == 1
    assert not storages["uploads"].exists(prediction.sample.file_name)


def test_a_loss_that_comes_after_all_copies_are_gone_is_told_and_not_tried_for_ever():
    prediction = make_prediction()
    before = prediction.sample.file_name
    outbox.store_misclassified(feedback.give_feedback(prediction, "NOK", by=prediction.user).pk)
    run_everything_due()
    sample = Sample.objects.get()
    storages["misclassified"].delete(sample.file_name)
    settle = outbox.delete_moved_upload.enqueue(sample_key=sample.pk, file_name=before)
    run_everything_due()
    settle.refresh_from_db()
    assert settle.status == Job.Status.FAILED
    assert f"misclassified/{sample.file_name}" in settle.error
    assert not Job.objects.active().exists()


def test_facts_that_are_lost_after_the_copy_are_written_again():
    prediction = make_prediction()
    outbox.store_misclassified(feedback.give_feedback(prediction, "NOK", by=prediction.user).pk)
    run_everything_due()
    sample = Sample.objects.get()
    storages["misclassified"].delete(f"{sample.project.slug}/{sample.uuid}.json")
    outbox.delete_moved_upload.enqueue(sample_key=sample.pk, file_name=prediction.sample.file_name)
    run_everything_due()
    assert len(facts_of(sample)["noks"]) == 1 and sample.read()
    assert not Job.objects.active().exists()


@pytest.mark.parametrize(
    ("bytes_left", "state"), [(None, "missing"), (2, "damaged"), (-2, "damaged")]
)
def test_what_was_said_about_a_picture_that_is_lost_is_kept_and_the_job_fails(bytes_left, state):
    prediction = make_prediction()
    sample, storage = prediction.sample, storages["uploads"]
    data = sample.read()
    storage.delete(sample.file_name)
    if bytes_left is not None:
        storage.save(
            sample.file_name, ContentFile(data + bytes(2) if bytes_left > 0 else data[:bytes_left])
        )
    feedback.give_feedback(prediction, "NOK", by=prediction.user, category="pizza")
    for _round in range(3):
        run_everything_due()
    job = Job.objects.get()
    assert (job.status, job.attempts) == (Job.Status.FAILED, 1)
    assert f"uploads/{sample.file_name}" in job.error and "backup" in job.error
    facts = facts_of(sample)
    assert facts["picture"] == state and facts["noks"][0]["suggestion"] == "pizza"
    sample.refresh_from_db()
    assert sample.location == Sample.Location.UPLOADS
    assert storage.exists(sample.file_name) == (bytes_left is not None)
    assert not storages["misclassified"].exists(f"{sample.project.slug}/{sample.uuid}.jpg")


def test_a_picture_that_was_brought_back_moves_when_its_job_is_tried_again():
    prediction = make_prediction()
    sample, data = prediction.sample, prediction.sample.read()
    storages["uploads"].delete(sample.file_name)
    feedback.give_feedback(prediction, "NOK", by=prediction.user)
    run_everything_due()
    storages["uploads"].save(sample.file_name, ContentFile(data))
    assert jobs.try_again(Job.objects.get())
    for _round in range(2):
        run_everything_due()
    sample.refresh_from_db()
    assert sample.location == Sample.Location.MISCLASSIFIED and sample.read() == data
    assert facts_of(sample)["picture"] == "whole"
    assert not Job.objects.exclude(status=Job.Status.SUCCEEDED).exists()


def test_a_picture_that_had_moved_before_the_database_came_back_from_a_backup_is_found():
    prediction = make_prediction()
    given = feedback.give_feedback(prediction, "NOK", by=prediction.user)
    backup = Sample.objects.filter(pk=prediction.sample.pk).values("location", "file_name").get()
    data = prediction.sample.read()
    for _round in range(2):
        run_everything_due()
    Sample.objects.filter(pk=prediction.sample.pk).update(**backup)
    assert not storages["uploads"].exists(backup["file_name"])
    outbox.store_misclassified(given.pk)
    run_everything_due()
    sample = Sample.objects.get()
    assert sample.location == Sample.Location.MISCLASSIFIED and sample.read() == data
    assert facts_of(sample)["picture"] == "whole"
    assert not Job.objects.exclude(status=Job.Status.SUCCEEDED).exists()


def test_a_copy_that_is_damaged_does_not_go_round_for_ever_when_the_other_is_lost():
    prediction = make_prediction()
    before, data = prediction.sample.file_name, prediction.sample.read()
    outbox.store_misclassified(feedback.give_feedback(prediction, "NOK", by=prediction.user).pk)
    storages["uploads"].delete(before)
    storages["uploads"].save(before, ContentFile(data + b"\0"))
    storages["misclassified"].delete(Sample.objects.get().file_name)
    for _round in range(4):
        run_everything_due()
    assert not Job.objects.active().exists()
    settling = Job.objects.filter(kind=outbox.delete_moved_upload.kind)
    assert settling.filter(status=Job.Status.FAILED).count() == 1
    assert storages["uploads"].exists(before), "what is left may be of use to somebody"


def test_a_second_nok_waits_while_a_lost_picture_is_being_moved_again():
    first = make_prediction()
    outbox.store_misclassified(feedback.give_feedback(first, "NOK", by=first.user).pk)
    storages["misclassified"].delete(Sample.objects.get().file_name)
    second = make_prediction(
        make_user(), sample=Sample.objects.get(), model_version=first.model_version
    )
    given = feedback.give_feedback(second, "NOK", by=second.user)
    with pytest.raises(jobs.RetryLater):
        outbox.store_misclassified(given.pk)
    for _round in range(3):
        run_everything_due()
    assert Sample.objects.get().read() and len(facts_of(first.sample)["noks"]) == 2
    assert not Job.objects.exclude(status=Job.Status.SUCCEEDED).exists()


def test_storing_twice_changes_nothing():
    prediction = make_prediction()
    given = feedback.give_feedback(prediction, "NOK", by=prediction.user)
    outbox.store_misclassified(given.pk)
    run_everything_due()
    outbox.store_misclassified(given.pk)
    run_everything_due()
    assert Sample.objects.get().read()
    assert len(facts_of(Sample.objects.get())["noks"]) == 1


def test_a_second_users_nok_on_the_same_picture_is_beside_it_too():
    first = make_prediction()
    feedback.give_feedback(first, "NOK", by=first.user)
    run_everything_due()
    second = make_prediction(
        sample=Sample.objects.get(), model_version=make_model_version(first.project)
    )
    feedback.give_feedback(second, "NOK", by=second.user)
    run_everything_due()
    noks = facts_of(first.sample)["noks"]
    assert [nok["user"] for nok in noks] == [second.user.pk, first.user.pk]


def test_a_nok_that_comes_while_the_facts_are_written_is_not_forgotten(monkeypatch):
    first = make_prediction()
    given = feedback.give_feedback(first, "NOK", by=first.user)
    second = make_prediction(make_user(), sample=first.sample, model_version=first.model_version)
    write, calls = outbox._write, list[tuple]()

    def write_slowly(*args):
        write(*args)
        if not calls:
            feedback.give_feedback(second, "NOK", by=second.user)
        calls.append(args)

    monkeypatch.setattr(outbox, "_write", write_slowly)
    outbox.store_misclassified(given.pk)
    assert len(calls) == 2
    assert len(facts_of(first.sample)["noks"]) == 2


def test_a_nok_taken_back_before_the_move_is_not_stored():
    prediction = make_prediction()
    feedback.give_feedback(prediction, "NOK", by=prediction.user)
    feedback.give_feedback(prediction, "UNSURE", by=prediction.user)
    run_everything_due()
    assert Sample.objects.get().location == Sample.Location.UPLOADS
    assert not storages["misclassified"].exists(
        f"{prediction.project.slug}/{prediction.sample.uuid}.jpg"
    )


def test_a_nok_taken_back_while_it_moves_leaves_no_copy(monkeypatch):
    prediction = make_prediction()
    given = feedback.give_feedback(prediction, "NOK", by=prediction.user)
    write = outbox._write

    def write_and_change_ones_mind(*args):
        write(*args)
        feedback.give_feedback(prediction, "OK", by=prediction.user)

    monkeypatch.setattr(outbox, "_write", write_and_change_ones_mind)
    outbox.store_misclassified(given.pk)
    run_everything_due()
    sample = Sample.objects.get()
    name = f"{sample.project.slug}/{sample.uuid}"
    assert not sample.has_picture
    assert not any(storages["misclassified"].exists(f"{name}.{kind}") for kind in ("jpg", "json"))


def _refuse(*args, **kwargs):
    raise ConnectionError("not now")

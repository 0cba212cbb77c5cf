import pytest
from django.core.files.base import ContentFile

from common import jobs, tasks
from common.errors import InvalidInput, Unavailable
from common.models import Job
from common.progress import no_progress
from predictions import batch_answers, batches, registry
from predictions.models import Batch, BatchItem, Prediction, Sample
from predictions.predictors.base import PredictorError, PredictorUnavailable
from predictions.predictors.dummy import DummyPredictor
from predictions.tests.factories import make_live_model, make_project, make_upload, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def handlers():
    tasks.autodiscover()


def make_batch(count: int = 3, **extra) -> Batch:
    files = [make_upload(name=f"{number}.jpg") for number in range(count)]
    return batches.create_batch(
        make_live_model().project, [*files, *extra.get("files", ())], by=make_user()
    )


def test_every_picture_is_answered_by_a_worker():
    batch = make_batch(3)
    before = batch_answers.batch_progress(batch)
    assert (before.done, before.total, before.is_finished) == (0, 3, False)
    jobs.run_due_jobs()
    after = batch_answers.batch_progress(batch)
    assert (after.done, after.refused, after.is_finished) == (3, 0, True)
    assert [item.prediction.shown_name for item in batch_answers.batch_items(batch)] == [
        "0.jpg",
        "1.jpg",
        "2.jpg",
    ]
    assert Job.objects.get().progress_done == 3


def test_one_bad_file_is_refused_alone():
    batch = make_batch(2, files=[make_upload(b"no picture at all", name="letter.jpg")])
    jobs.run_due_jobs()
    state = batch_answers.batch_progress(batch)
    assert (state.done, state.refused) == (3, 1)
    assert batch_answers.batch_items(batch)[2].error
    assert Sample.objects.count() == 2


def test_a_storage_that_is_down_is_asked_once_for_the_whole_batch(monkeypatch):
    asked = []

    def refuse(*args, **kwargs):
        asked.append(args)
        raise OSError("down")

    monkeypatch.setattr("common.storages.DiskStorage.save", refuse)
    project = make_project()
    make_live_model(project)
    with pytest.raises(Unavailable):
        batches.create_batch(project, [make_upload() for _ in range(5)], by=make_user())
    assert len(asked) == 1
    assert not Batch.objects.exists()


def test_pictures_are_asked_about_in_chunks(monkeypatch):
    monkeypatch.setattr(batches, "CHUNK", 2)
    asked, predict = [], DummyPredictor.predict

    def count(self, pictures, model, *, augment=False):
        asked.append(len(pictures))
        return predict(self, pictures, model, augment=augment)

    monkeypatch.setattr(DummyPredictor, "predict", count)
    make_batch(5)
    jobs.run_due_jobs()
    assert asked == [2, 2, 1]


def test_pictures_are_read_no_larger_than_the_model_needs_them(monkeypatch):
    seen: list[tuple[int, int]] = []

    def predict(self, pictures, model, *, augment=False):
        seen.extend(picture.image.size for picture in pictures)
        return [
            dict.fromkeys(model.class_names, 1 / len(model.class_names)) for _picture in pictures
        ]

    monkeypatch.setattr(DummyPredictor, "predict", predict)
    monkeypatch.setattr(DummyPredictor, "least_side", lambda self, model, *, augment=False: 12)
    make_batch(1)
    jobs.run_due_jobs()
    (sample,) = Sample.objects.all()
    assert [(sample.width, sample.height)] != seen == [(sample.width // 4, sample.height // 4)]


def test_doing_the_work_twice_answers_once():
    batch = make_batch(2)
    batches.classify_batch(no_progress, batch.pk)
    batches.classify_batch(no_progress, batch.pk)
    assert Prediction.objects.count() == 2


def test_two_workers_at_the_same_chunk_answer_once(monkeypatch):
    batch = make_batch(2)
    predict, calls = DummyPredictor.predict, list[int]()

    def overtaken(self, pictures, model, *, augment=False):
        calls.append(1)
        if len(calls) == 1:
            batches.classify_batch(no_progress, batch.pk)
        return predict(self, pictures, model, augment=augment)

    monkeypatch.setattr(DummyPredictor, "predict", overtaken)
    batches.classify_batch(no_progress, batch.pk)
    assert Prediction.objects.count() == 2


def test_a_model_that_cannot_answer_now_is_asked_again_later(monkeypatch):
    batch = make_batch(2)
    with monkeypatch.context() as broken:
        broken.setattr(DummyPredictor, "predict", _raise(PredictorUnavailable("not now")))
        jobs.run_due_jobs()
    assert Job.objects.get().status == Job.Status.WAITING
    assert not batch_answers.batch_progress(batch).is_finished
    Job.objects.update(due_at="2020-01-01T00:00Z")
    jobs.run_due_jobs()
    assert batch_answers.batch_progress(batch).done == 2


def test_a_picture_that_the_model_fails_at_does_not_fail_the_others(monkeypatch):
    batch = make_batch(3)
    predict = DummyPredictor.predict
    bad = Sample.objects.order_by("pk")[1].sha256

    def stumble(self, pictures, model, *, augment=False):
        if bad in [picture.sha256 for picture in pictures]:
            raise PredictorError("The model failed.")
        return predict(self, pictures, model, augment=augment)

    monkeypatch.setattr(DummyPredictor, "predict", stumble)
    jobs.run_due_jobs()
    assert [item.error for item in batch_answers.batch_items(batch)] == [
        "",
        "The model failed.",
        "",
    ]


@pytest.mark.parametrize("left", [None, b"half a picture"], ids=["gone", "damaged"])
def test_a_picture_that_is_gone_or_damaged_does_not_fail_the_others(left):
    batch = make_batch(2)
    sample = Sample.objects.order_by("pk")[0]
    sample.storage.delete(sample.file_name)
    if left:
        sample.storage.save(sample.file_name, ContentFile(left))
    jobs.run_due_jobs()
    first, second = batch_answers.batch_items(batch)
    assert "upload it again" in first.error
    assert second.prediction


def test_a_batch_that_was_given_up_says_why_and_can_go_on(monkeypatch):
    batch = make_batch(2)
    Job.objects.update(max_attempts=1)
    with monkeypatch.context() as broken:
        broken.setattr(DummyPredictor, "predict", _raise(PredictorUnavailable("not now")))
        jobs.run_due_jobs()
    state = batch_answers.batch_progress(batch)
    assert state.is_finished and state.stopped == "not now"
    batches.enqueue_batch(batch)
    batches.enqueue_batch(batch)  # twice does no harm
    jobs.run_due_jobs()
    assert batch_answers.batch_progress(batch).done == 2


def test_too_many_pictures_are_refused_before_any_is_kept(settings):
    settings.UPLOAD_BATCH_MAX_FILES = 2
    with pytest.raises(InvalidInput, match="at most 2"):
        make_batch(3)
    assert not Sample.objects.exists()


def test_without_a_model_nothing_is_kept():
    with pytest.raises(registry.NoLiveModel):
        batches.create_batch(make_project(), [make_upload(), make_upload()], by=make_user())
    assert not Sample.objects.exists()


def test_the_page_of_a_batch_asks_few_queries(django_assert_max_num_queries):
    batch = make_batch(8)
    jobs.run_due_jobs()
    with django_assert_max_num_queries(3):
        assert all(item.prediction.sample.has_picture for item in batch_answers.batch_items(batch))
    assert BatchItem.objects.count() == 8


def _raise(error):
    def predict(self, pictures, model, *, augment=False):
        raise error

    return predict

"""A batch whose files come one by one, and verdicts on all of its answers at once."""

import csv
import io

import pytest
from django.urls import reverse

from common import jobs, tasks
from predictions import batch_answers, batches, feedback, registry
from predictions.models import Batch, BatchItem, Feedback, Sample
from predictions.predictors.dummy import DummyPredictor
from predictions.tests.factories import (
    make_live_model,
    make_picture_bytes,
    make_project,
    make_upload,
    make_user,
)

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def handlers():
    tasks.autodiscover()


@pytest.fixture
def alice(client):
    user = make_user()
    client.force_login(user)
    return user


@pytest.fixture
def batch(alice):
    return batches.start_batch(make_live_model().project, by=alice)


def send(client, batch, *, key: str, data: bytes | None = None, name: str = "a.jpg"):
    file = make_upload(data or make_picture_bytes(size=(64, 40 + len(key))), name=name)
    address = reverse("predictions:add_file", args=[batch.uuid])
    return client.post(address, {"file": file, "key": key}, headers=HTMX)


def answered(client, batch, count: int = 3) -> list[BatchItem]:
    for number in range(count):
        assert send(client, batch, key="k" * (number + 1), name=f"{number}.jpg").status_code == 201
    jobs.run_due_jobs()
    return list(batch_answers.batch_items(batch))


def say(client, batch, items, wrong=(), headers=None, **fields):
    data = {
        "shown": [item.prediction_id for item in items],
        "wrong": [item.prediction_id for item in wrong],
        **fields,
    }
    address = reverse("predictions:verdicts", args=[batch.uuid])
    return client.post(address, data, headers=headers)


def test_a_batch_begins_empty_and_tells_its_address(client, alice):
    project = make_live_model().project
    answer = client.post(reverse("predictions:start_batch", args=[project.slug]))
    assert answer.status_code == 201
    assert answer["Location"] == Batch.objects.get().get_absolute_url()


def test_without_a_model_no_batch_begins(client, alice):
    answer = client.post(reverse("predictions:start_batch", args=[make_project().slug]))
    assert answer.status_code == registry.NoLiveModel.status
    assert not Batch.objects.exists()


def test_files_that_come_one_by_one_are_answered_in_the_order_they_came(client, batch):
    items = answered(client, batch, 3)
    assert [item.shown_name for item in items] == ["0.jpg", "1.jpg", "2.jpg"]
    assert all(item.prediction for item in items)


def test_a_file_sent_again_after_its_answer_was_lost_counts_once(client, batch):
    assert send(client, batch, key="one").status_code == 201
    assert send(client, batch, key="one").status_code == 201
    assert BatchItem.objects.count() == 1


@pytest.mark.parametrize("key", ["", "k" * 41, "\0"])
def test_a_file_without_a_key_of_its_own_is_refused(client, batch, key):
    assert send(client, batch, key=key).status_code == 400
    assert not BatchItem.objects.exists()


def test_a_bad_file_is_kept_as_refused_and_says_why(client, batch):
    answer = send(client, batch, key="letter", data=b"no picture", name="letter.jpg")
    assert answer.status_code == 200
    assert "Accepted formats" in answer.content.decode()
    jobs.run_due_jobs()
    state = batch_answers.batch_progress(batch)
    assert (state.total, state.refused, state.is_finished) == (1, 1, True)


def test_too_fast_is_told_with_a_time_and_nothing_is_kept(client, batch, settings):
    settings.UPLOAD_RATE = "1/h"
    assert send(client, batch, key="one").status_code == 201
    answer = send(client, batch, key="other")
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    assert BatchItem.objects.count() == 1


def test_files_go_into_nobody_elses_batch(client, batch):
    client.force_login(make_user())
    assert send(client, batch, key="one").status_code == 404


def test_a_file_that_comes_while_a_worker_is_at_the_batch_is_not_left_behind(client, batch):
    send(client, batch, key="one")
    (job,) = jobs.Job.objects.all()
    taken = jobs.claim_job(job.pk, "a worker")
    batches.classify_batch(lambda *told: None, batch.pk)
    send(client, batch, key="other")  # the worker has looked for the last time
    taken.status = jobs.Job.Status.SUCCEEDED
    taken.save()
    jobs.run_due_jobs()
    assert batch_answers.batch_progress(batch).done == 2


def test_more_files_than_there_were_come_while_the_first_are_answered(client, batch, monkeypatch):
    send(client, batch, key="first")
    predict, waiting = DummyPredictor.predict, [f"further{'k' * number}" for number in range(20)]

    def slow(self, pictures, model, *, augment=False):
        while waiting:
            assert send(client, batch, key=waiting.pop()).status_code == 201
        return predict(self, pictures, model, augment=augment)

    monkeypatch.setattr(DummyPredictor, "predict", slow)
    jobs.run_due_jobs()
    assert batch_answers.batch_progress(batch).done == 21
    assert not jobs.Job.objects.exclude(status=jobs.Job.Status.SUCCEEDED).exists()


def test_what_is_not_ticked_is_ok_and_what_is_ticked_is_nok_with_one_name(client, batch):
    items = answered(client, batch, 3)
    say(client, batch, items, wrong=items[:2], category="pizza")
    given = {each.prediction_id: each for each in Feedback.objects.all()}
    assert [given[item.prediction_id].verdict for item in items] == ["NOK", "NOK", "OK"]
    assert [given[item.prediction_id].suggestion for item in items] == ["pizza", "pizza", ""]


def test_only_what_was_on_the_screen_is_judged(client, batch):
    items = answered(client, batch, 3)
    say(client, batch, items[:1])
    assert Feedback.objects.get().prediction_id == items[0].prediction_id


def test_verdicts_sent_again_change_nothing(client, batch):
    items = answered(client, batch, 2)
    say(client, batch, items, wrong=items, category="pizza")
    say(client, batch, items)
    assert set(Feedback.objects.values_list("verdict", flat=True)) == {"NOK"}


def test_one_whose_picture_is_gone_holds_the_others_up_in_nothing(client, batch, alice):
    items = answered(client, batch, 2)
    Sample.objects.filter(pk=items[0].sample_id).update(
        location=Sample.Location.NOWHERE, file_name=""
    )
    predictions = [item.prediction for item in batch_answers.batch_items(batch)]
    said = feedback.give_verdicts(predictions, {each.pk for each in predictions}, by=alice)
    assert said.nok == 1
    assert [prediction for prediction, _why in said.refused] == [predictions[0]]


def test_samples_are_locked_in_one_order_whoever_judges_them(client, batch, alice, monkeypatch):
    items = answered(client, batch, 4)
    give, locked = feedback.give_feedback, []

    def note(prediction, verdict, **options):
        locked.append(prediction.sample_id)
        return give(prediction, verdict, **options)

    monkeypatch.setattr(feedback, "give_feedback", note)
    feedback.give_verdicts([item.prediction for item in reversed(items)], set(), by=alice)
    assert locked == sorted(item.sample_id for item in items if item.sample_id)


def test_a_name_that_none_can_have_is_refused_and_nothing_is_said(client, batch):
    items = answered(client, batch, 1)
    answer = client.post(
        reverse("predictions:verdicts", args=[batch.uuid]),
        {
            "shown": [items[0].prediction_id],
            "wrong": [items[0].prediction_id],
            "category": "x" * 101,
        },
        HTTP_HX_REQUEST="true",
    )
    assert answer.status_code == 400
    assert not Feedback.objects.exists()


def test_answers_of_a_batch_of_somebody_else_are_not_judged(client, batch):
    items = answered(client, batch, 1)
    client.force_login(make_user())
    assert say(client, batch, items).status_code == 404
    assert not Feedback.objects.exists()


def test_a_filter_shows_one_answer_and_the_rest_page_by_page(batch, client, monkeypatch):
    items = answered(client, batch, 3)
    monkeypatch.setattr(batch_answers, "PAGE", 2)
    first = batch_answers.batch_page(batch)
    assert [item.pk for item in first.rows] == [item.pk for item in items[:2]]
    second = batch_answers.batch_page(batch, after=str(first.next_key))
    assert [item.pk for item in second.rows] == [items[2].pk]
    ((category, count),) = batch_answers.answers_given(batch)[:1]
    only = batch_answers.batch_page(batch, only=str(category.pk))
    assert len(only.rows) == min(count, 2)
    assert {item.prediction.top_id for item in only.rows} == {category.pk}


@pytest.mark.parametrize("query", ["?only=nonsense&after=x", "?only=" + "9" * 30, "?only=%00"])
def test_a_filter_that_makes_no_sense_shows_all(client, batch, query):
    answered(client, batch, 1)
    assert b"0.jpg" in client.get(batch.get_absolute_url() + query).content


def test_the_table_has_every_picture_and_no_formula(client, batch):
    send(client, batch, key="one", name="=1+1.jpg")
    send(client, batch, key="two", data=b"no picture", name="letter.jpg")
    jobs.run_due_jobs()
    answer = client.get(reverse("predictions:batch_csv", args=[batch.uuid]))
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert [row["file"] for row in rows] == ["'=1+1.jpg", "letter.jpg"]
    assert rows[0]["answer"]
    assert "Accepted formats" in rows[1]["refused"]

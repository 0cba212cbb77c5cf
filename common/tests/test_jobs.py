"""The life of a job: asked for, taken once, done, tried again, cancelled, or taken up again."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from common import jobs
from common.errors import InvalidInput
from common.models import Job
from common.progress import Cancelled

pytestmark = pytest.mark.django_db

Status = Job.Status


@pytest.fixture
def runners(monkeypatch) -> dict:
    """What does the jobs of this test alone, by kind."""
    registered: dict = {}
    monkeypatch.setattr(jobs, "_runners", registered)
    return registered


def taken(kind: str = "kitchen.cook", worker: str = "ann", **options) -> Job:
    jobs.insert(kind, **options)
    job = jobs.claim_next(worker, options.get("queue", "default"))
    assert job is not None
    return job


def reloaded(job: Job) -> Job:
    return Job.objects.get(pk=job.pk)


def silence(job: Job, seconds: float = jobs.STALLED_AFTER_SECONDS + 1) -> None:
    """Let the job's worker have died so long ago."""
    Job.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now() - timedelta(seconds=seconds))


def test_a_job_is_done_with_its_payload(runners):
    seen = []
    runners["kitchen.cook"] = lambda job, progress: seen.append(job.payload["dish"])
    job = jobs.insert("kitchen.cook", {"dish": "soup"})
    assert jobs.run_due_jobs() == 1
    assert seen == ["soup"]
    assert reloaded(job).status == Status.SUCCEEDED
    assert reloaded(job).finished_at is not None


def test_a_job_asked_for_in_a_transaction_that_fails_was_never_asked_for():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        jobs.insert("kitchen.cook")
        _ = 1 / 0
    assert not Job.objects.exists()


def test_of_two_workers_one_gets_the_job():
    jobs.insert("kitchen.cook")
    first, second = jobs.claim_next("ann", "default"), jobs.claim_next("bob", "default")
    assert first is not None and first.taken_by == "ann"
    assert second is None


def test_a_worker_that_saw_the_job_waiting_does_not_get_it_after_another_took_it():
    job = jobs.insert("kitchen.cook")
    assert jobs.claim_job(job.pk, "ann") is not None
    assert jobs.claim_job(job.pk, "bob") is None


def test_a_job_of_another_queue_or_of_tomorrow_is_left_alone():
    jobs.insert("kitchen.cook", queue="training")
    jobs.insert("kitchen.cook", delay_seconds=3600)
    assert jobs.claim_next("ann", "default") is None


def test_a_key_has_one_active_job_and_is_free_again_afterwards(runners):
    runners["kitchen.cook"] = lambda job, progress: None
    jobs.insert("kitchen.cook", key="stove")
    with pytest.raises(jobs.AlreadyEnqueued):
        jobs.insert("kitchen.cook", key="stove")
    jobs.run_due_jobs()
    jobs.insert("kitchen.cook", key="stove")


def test_a_job_that_breaks_is_tried_again_later_and_later(runners):
    def burn(_job, progress):
        raise ValueError("burnt")

    runners["kitchen.cook"] = burn
    job = taken()
    jobs.run_job(job)
    again = reloaded(job)
    assert (again.status, again.error, again.taken_by) == (Status.WAITING, "ValueError: burnt", "")
    assert again.due_at > timezone.now()
    waits = [jobs.retry_delay_seconds(attempts) for attempts in (1, 3, 5, 100)]
    assert waits == sorted(waits)
    assert waits[-1] <= jobs.MAX_RETRY_SECONDS * 1.2


def test_what_failed_is_tried_at_once_when_what_it_failed_for_is_there_again():
    failed, other = taken(), taken("kitchen.wash")
    for job in (failed, other):
        jobs._retry(job, "No water.")
    tomorrow = jobs.insert("kitchen.cook", delay_seconds=86_400)
    assert jobs.retry_now("kitchen.cook") == 1
    assert list(Job.objects.due()) == [failed]
    assert reloaded(tomorrow).due_at > timezone.now(), "it was never tried, so it has not failed"


def test_not_now_is_tried_again(runners):
    def wait(_job, progress):
        raise jobs.RetryLater("the oven is cold")

    runners["kitchen.cook"] = wait
    job = taken()
    jobs.run_job(job)
    assert (reloaded(job).status, reloaded(job).error) == (Status.WAITING, "the oven is cold")


def test_a_job_out_of_attempts_has_failed(runners):
    def burn(_job, progress):
        raise ValueError("burnt")

    runners["kitchen.cook"] = burn
    job = taken(max_attempts=1)
    jobs.run_job(job)
    assert (reloaded(job).status, reloaded(job).error) == (Status.FAILED, "ValueError: burnt")


def test_a_foreseen_failure_is_not_tried_again(runners):
    def refuse(_job, progress):
        raise InvalidInput("There is no such dish.")

    runners["kitchen.cook"] = refuse
    job = taken()
    jobs.run_job(job)
    assert (reloaded(job).status, reloaded(job).error) == (Status.FAILED, "There is no such dish.")


def test_a_job_that_nothing_knows_how_to_do_says_so(runners):
    job = taken("kitchen.levitate")
    jobs.run_job(job)
    assert reloaded(job).status == Status.FAILED
    assert "kitchen.levitate" in reloaded(job).error


def test_progress_is_written_down_and_told_to_who_watches(runners):
    runners["kitchen.cook"] = lambda job, progress: progress(3, 4, "stirring")
    told = []
    job = taken()
    jobs.run_job(job, watcher=lambda *step: told.append(step))
    assert (reloaded(job).percent, reloaded(job).progress_note) == (75, "stirring")
    assert told == [(3, 4, "stirring")]


def test_a_waiting_job_is_cancelled_at_once():
    job = jobs.insert("kitchen.cook")
    jobs.request_cancel(job)
    assert reloaded(job).status == Status.CANCELLED
    assert jobs.claim_next("ann", "default") is None


def test_a_running_job_is_cancelled_at_its_next_progress(runners):
    steps = []

    def cook(_job, progress):
        for step in range(3):
            steps.append(step)
            if step == 1:
                jobs.request_cancel(job)
            progress(step, 3)

    runners["kitchen.cook"] = cook
    job = taken()
    jobs.run_job(job)
    assert steps == [0, 1]
    assert reloaded(job).status == Status.CANCELLED


def test_a_job_that_breaks_after_it_was_cancelled_is_not_tried_again(runners):
    def burn(_job, progress):
        jobs.request_cancel(job)
        raise ValueError("burnt")

    runners["kitchen.cook"] = burn
    job = taken()
    jobs.run_job(job)
    assert reloaded(job).status == Status.CANCELLED


def test_a_finished_job_cannot_be_cancelled(runners):
    runners["kitchen.cook"] = lambda job, progress: None
    job = taken()
    jobs.run_job(job)
    jobs.request_cancel(job)
    assert reloaded(job).status == Status.SUCCEEDED


def test_a_job_whose_worker_died_is_taken_up_again():
    job = taken()
    silence(job)
    assert jobs.requeue_stalled() == 1
    again = jobs.claim_next("bob", "default")
    assert again is not None
    assert (again.pk, again.attempts) == (job.pk, 2)


def test_a_job_whose_heart_beats_is_left_to_its_worker():
    job = taken()
    silence(job, seconds=jobs.HEARTBEAT_SECONDS * 2)
    assert jobs.requeue_stalled() == 0
    assert reloaded(job).status == Status.RUNNING


def test_a_dead_workers_job_is_found_within_two_minutes():
    from common import worker

    assert jobs.STALLED_AFTER_SECONDS + worker.RECLAIM_SECONDS + worker.POLL_SECONDS < 120
    assert jobs.HEARTBEAT_SECONDS * 3 < jobs.STALLED_AFTER_SECONDS


def test_a_job_that_kills_its_workers_is_given_up():
    job = taken(max_attempts=1)
    silence(job)
    jobs.requeue_stalled()
    assert reloaded(job).status == Status.FAILED


def test_a_stalled_job_that_was_cancelled_is_not_taken_up_again():
    job = taken()
    jobs.request_cancel(job)
    silence(job)
    jobs.requeue_stalled()
    assert reloaded(job).status == Status.CANCELLED


@pytest.mark.parametrize("next_worker", ["ann", "bob"])
def test_a_worker_that_lost_its_job_cannot_end_it(runners, next_worker):
    def sleep_through(_job, progress):
        silence(job)
        jobs.requeue_stalled()
        jobs.claim_next(next_worker, "default")

    runners["kitchen.cook"] = sleep_through
    job = taken()
    jobs.run_job(job)
    now = reloaded(job)
    assert (now.status, now.taken_by, now.attempts) == (Status.RUNNING, next_worker, 2)


def test_a_worker_that_lost_its_job_is_stopped_at_its_next_progress(runners):
    reached: list[str] = []

    def sleep_through(_job, progress):
        silence(job)
        jobs.requeue_stalled()
        try:
            progress(1, 2)
        except Cancelled:
            reached.append("stopped")
            raise

    runners["kitchen.cook"] = sleep_through
    job = taken()
    jobs.run_job(job)
    assert reached == ["stopped"]
    assert reloaded(job).status == Status.WAITING


def test_a_job_put_back_is_done_by_the_next_worker_and_costs_no_attempt():
    job = taken()
    assert jobs.requeue(job)
    again = jobs.claim_next("bob", "default")
    assert again is not None and again.attempts == 1
    assert not jobs.requeue(job), "it belongs to bob now"


def test_old_finished_jobs_are_forgotten_and_failed_ones_later():
    now = timezone.now()
    for status, days in [
        ("succeeded", 8),
        ("succeeded", 1),
        ("failed", 8),
        ("failed", 31),
        ("cancelled", 8),
    ]:
        Job.objects.create(
            kind=f"{status} {days}", status=status, finished_at=now - timedelta(days=days)
        )
    jobs.insert("waiting")
    assert jobs.delete_finished_jobs() == 3
    assert set(Job.objects.values_list("kind", flat=True)) == {"succeeded 1", "failed 8", "waiting"}

"""The worker does what is due, outlives a lost database, and puts back what it cannot end."""

import threading

import pytest
from django.core.management import call_command
from django.db import OperationalError

from common import jobs, tasks, worker
from common.models import Job
from common.worker import Worker
from scripts.services import wait_until


@pytest.fixture
def runners(monkeypatch) -> dict:
    registered: dict = {}
    monkeypatch.setattr(jobs, "_runners", registered)
    monkeypatch.setattr(tasks, "autodiscover", lambda: None)
    return registered


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch) -> None:
    monkeypatch.setattr(worker, "MAX_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.01)


@pytest.mark.django_db
def test_once_does_what_is_due_and_ends(runners, capsys):
    done = []
    runners["kitchen.cook"] = lambda job, progress: done.append(job.payload["dish"])
    jobs.insert("kitchen.cook", {"dish": "soup"})
    jobs.insert("kitchen.cook", {"dish": "cake"}, queue="training")
    jobs.insert("kitchen.cook", {"dish": "tea"}, delay_seconds=3600)
    call_command("worker", "--once")
    assert sorted(done) == ["cake", "soup"]
    assert "2 jobs done." in capsys.readouterr().out


@pytest.mark.django_db
def test_a_queue_that_is_not_named_is_left_alone(runners):
    runners["kitchen.cook"] = lambda job, progress: None
    job = jobs.insert("kitchen.cook", queue="training")
    call_command("worker", "--once", "--queues", "default")
    assert Job.objects.get(pk=job.pk).status == Job.Status.WAITING


def test_a_database_that_is_gone_is_waited_for(monkeypatch):
    one = Worker(["default"])
    answers = iter([OperationalError("gone"), OperationalError("database is locked"), "soup"])

    def ask() -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert one._patiently(ask) == "soup"


def test_a_worker_that_is_stopped_does_not_wait_for_the_database():
    one = Worker(["default"])
    one.stopping.set()

    def fail() -> None:
        raise OperationalError("gone")

    assert one._patiently(fail) is None


def test_a_periodic_task_that_breaks_stops_neither_the_others_nor_the_worker(monkeypatch):
    called = threading.Event()
    done = {"broken": (0.0, lambda: 1 / 0), "good": (0.0, called.set)}
    monkeypatch.setattr(tasks, "_periodic_tasks", done)
    one = Worker([])
    one.start()
    try:
        assert called.wait(10)
    finally:
        one.stop(5)
    assert not one.is_busy


@pytest.mark.outer
@pytest.mark.django_db(transaction=True)
def test_threads_do_jobs_and_put_back_what_does_not_end_in_time(runners):
    release = threading.Event()
    runners["kitchen.cook"] = lambda job, progress: None
    runners["kitchen.bake"] = lambda job, progress: release.wait(30)
    quick = jobs.insert("kitchen.cook")
    slow = jobs.insert("kitchen.bake", queue="training")
    one = Worker(["default", "training"])
    one.start()
    try:
        wait_until(lambda: Job.objects.get(pk=quick.pk).status == "succeeded", "the quick job")
        wait_until(lambda: Job.objects.get(pk=slow.pk).status == "running", "the slow job")
        one.stop(0.2)
        assert one.is_busy
        left = Job.objects.get(pk=slow.pk)
        assert (left.status, left.attempts) == ("waiting", 0)
    finally:
        release.set()
    wait_until(lambda: not one.is_busy, "the threads' end")
    assert Job.objects.get(pk=slow.pk).status == "waiting", "its end came too late to count"

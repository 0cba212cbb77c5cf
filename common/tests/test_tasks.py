"""A task: a function, the row that it is stored as, and the way back."""

import pytest
from django.utils import translation

from common import jobs, tasks
from common.models import Job
from common.progress import Progress
from common.tasks import task

pytestmark = pytest.mark.django_db

cooked: list[tuple] = []


@pytest.fixture(autouse=True)
def _own_runners(monkeypatch) -> None:
    monkeypatch.setattr(jobs, "_runners", {})
    monkeypatch.setattr(tasks, "_titles", {})
    cooked.clear()


def make_task(**options):
    @task("kitchen.cook", **options)
    def cook(dish_key: int, salt: bool = False) -> None:
        cooked.append((dish_key, salt, translation.get_language()))

    return cook


def test_is_stored_under_the_keys_of_the_rows_and_called_with_its_own_arguments():
    cook = make_task(stored_as={"dish_key": "dish"}, queue="stove", max_attempts=3)
    job = cook.enqueue(dish_key=7, salt=True)
    assert (job.kind, job.queue, job.max_attempts, job.key) == ("kitchen.cook", "stove", 3, "")
    assert job.payload == {"dish": 7, "salt": True}
    assert cook.arguments(job) == {"dish_key": 7, "salt": True}
    jobs.run_due_jobs("stove")
    assert cooked == [(7, True, "en")]


def test_the_options_of_one_call_are_not_those_of_the_next():
    cook = make_task()
    job = cook.using(key="pot", delay_seconds=60, max_attempts=1).enqueue(dish_key=7)
    assert (job.key, job.max_attempts) == ("pot", 1)
    assert job.due_at > job.created_at
    with pytest.raises(jobs.AlreadyEnqueued):
        cook.using(key="pot").enqueue(dish_key=7)
    assert cook.enqueue(dish_key=7).max_attempts == 10


def test_an_argument_that_the_function_does_not_take_fails_where_it_is_written():
    cook = make_task()
    with pytest.raises(TypeError):
        cook.enqueue(dish=7)
    with pytest.raises(TypeError):
        cook.enqueue()
    with pytest.raises(TypeError):
        cook.active_jobs(dish=7)
    with pytest.raises(TypeError):
        make_task(stored_as={"dish": "dish_key"})
    assert not Job.objects.exists()


def test_a_row_of_an_earlier_version_may_lack_what_has_a_default():
    make_task(stored_as={"dish_key": "dish"})
    jobs.insert("kitchen.cook", {"dish": 7, "forgotten": "argument"})
    jobs.run_due_jobs()
    assert cooked == [(7, False, "en")]


def test_a_task_that_reports_is_given_progress_by_the_worker():
    @task("kitchen.bake")
    def bake(progress: Progress, dish_key: int) -> None:
        progress(1, 4, "rising")

    job = bake.enqueue(dish_key=7)
    assert job.payload == {"dish_key": 7}
    jobs.run_due_jobs()
    job.refresh_from_db()
    assert (job.percent, job.progress_note) == (25, "rising")


@pytest.mark.parametrize(("keeps_language", "heard"), [(True, "ja"), (False, "fr")])
def test_speaks_the_language_of_who_asked_or_the_servers_own(settings, keeps_language, heard):
    settings.LANGUAGE_CODE = "fr"
    cook = make_task(keeps_language=keeps_language)
    with translation.override("ja"):
        cook.enqueue(dish_key=7)
    with translation.override("it"):
        jobs.run_due_jobs()
        assert translation.get_language() == "it"
    assert [language for *_, language in cooked] == [heard]


def test_active_jobs_are_found_by_the_functions_own_arguments():
    cook = make_task(stored_as={"dish_key": "dish"})
    cook.enqueue(dish_key=7)
    wanted = cook.enqueue(dish_key=8)
    assert list(cook.active_jobs(dish_key=8)) == [wanted]
    assert cook.active_jobs().count() == 2
    jobs.run_due_jobs()
    assert not cook.active_jobs().exists()


def test_every_apps_tasks_are_found():
    tasks.autodiscover()
    assert all(seconds > 0 for _name, seconds, _function in tasks.periodic_tasks())


def test_the_work_of_a_kind_is_told_by_the_title_of_its_task():
    make_task(title="Cook a dish")
    assert tasks.title_of("kitchen.cook") == "Cook a dish"
    make_task()
    assert tasks.title_of("kitchen.cook") == "kitchen.cook"
    assert tasks.title_of("kitchen.closed") == "kitchen.closed"

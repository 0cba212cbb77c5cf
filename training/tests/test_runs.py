"""A run from asking to ending, and what happens to it when processes die."""

from datetime import timedelta
from unittest.mock import patch

import pytest
from django.db import OperationalError
from django.utils import timezone

from common import jobs
from common.errors import Conflict, InvalidInput
from common.models import Job
from common.progress import Cancelled, StageNote
from predictions import registry
from predictions.models import ModelVersion
from predictions.tests.factories import make_model_version, make_project, make_user
from training.data import datasets
from training.errors import TrainingFailed
from training.models import Evaluation, TrainingRun
from training.runs import execution, submission
from training.runs.run_log import RunLog
from training.tests.factories import make_finished_run, make_labelled, make_run, make_trainable
from training.trainers.dummy import DummyTrainer

pytestmark = pytest.mark.django_db

Status = TrainingRun.Status


def work_off() -> None:
    jobs.run_due_jobs("training")


def trainer_that(raises: BaseException):
    return patch.object(DummyTrainer, "train", side_effect=raises)


def silence(job: Job | None) -> None:
    """The process that held this job was killed, and a minute has passed."""
    assert job
    long_ago = timezone.now() - timedelta(minutes=5)
    Job.objects.filter(pk=job.pk).update(heartbeat_at=long_ago)


def test_a_run_ends_with_a_measured_model():
    run = make_run(backbone="dummy", seed=7)
    assert run.status == Status.WAITING
    work_off()
    run.refresh_from_db()
    assert (run.status, run.error) == (Status.SUCCEEDED, "")
    assert run.model_version.class_names == ["dark", "light"]
    assert run.model_version.manifest["dataset"] == {"number": 1, "digest": run.dataset.digest}
    assert run.curves["loss"][0] == 1.0
    assert run.started_at and run.finished_at and run.started_at <= run.finished_at
    assert Evaluation.objects.get(model_version=run.model_version).accuracy == 1.0
    assert registry.live_version(run.project) is None
    assert run.job.status == Job.Status.SUCCEEDED


def test_the_log_tells_the_stages():
    log = make_finished_run().log
    assert "Data set version 1" in log
    assert log.count("Pretending to learn") == 1
    assert "Registering the model" in log


def test_a_stage_whose_note_changes_is_one_line_of_the_log():
    run, told = make_run(), []
    log = RunLog(run, lambda done, total, note="": told.append(note))
    for epoch in (1, 2, 3):
        log(epoch, 3, StageNote(f"epoch {epoch}", stage="epochs"))
    log(3, 3, "Done")
    run.refresh_from_db()
    assert [line.partition(" ")[2] for line in run.log.splitlines()] == ["epoch 1", "Done"]
    assert told == ["epoch 1", "epoch 2", "epoch 3", "Done"]


def test_the_log_tells_what_was_left_out_and_what_cannot_be_measured():
    project = make_trainable()
    make_labelled(project, "dusk", train=1, validation=0, test=0)
    make_labelled(project, "night", train=5, validation=0, test=0)
    log = make_finished_run(project).log
    assert "“dusk” is left out: it has 1 picture" in log
    assert "“night” has no test sample" in log


def test_a_model_without_test_pictures_is_registered_unmeasured():
    run = make_finished_run(make_trainable(test=0))
    assert run.status == Status.SUCCEEDED
    assert not Evaluation.objects.exists()
    assert "was not measured" in run.log


def test_the_live_model_is_measured_on_the_same_data_set():
    project = make_trainable()
    live = make_model_version(project, ("light", "dark"))
    registry.promote_version(live, by=None)
    run = make_finished_run(project)
    assert Evaluation.objects.get(model_version=live, dataset=run.dataset).accuracy == 0.0


def test_a_run_promotes_for_who_asked():
    maintainer = make_user("maintainer")
    run = make_finished_run(promote=True, by=maintainer)
    assert registry.live_version(run.project) == run.model_version
    assert run.project.promotions.get().promoted_by == maintainer
    assert run.outcome in run.log


def test_a_run_does_not_promote_what_is_worse():
    project = make_trainable()
    live = make_model_version(project, ("dark", "light"))
    registry.promote_version(live, by=None)
    # The dummy takes it for "night" or "light", by name
    make_labelled(project, "night", colour="white")
    with patch.object(DummyTrainer, "train", autospec=True) as train:
        train.side_effect = lambda self, task, progress: _model(("light", "dark"))
        run = make_finished_run(project, promote=True)
    assert registry.live_version(project) == live
    assert "was not promoted" in run.outcome


def _model(names):
    from training.trainers.base import TrainedModel

    return TrainedModel(predictor="dummy", reference="dummy", class_names=names)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"backbone": "huge"}, "no backbone “huge” here. There are: dummy"),
        ({"trainer": "magic"}, "no trainer “magic”. There are:"),
        ({"seed": -1}, "The seed must be between 0 and"),
    ],
)
def test_what_cannot_be_is_refused(wanted, sentence):
    project = make_trainable()
    with pytest.raises(InvalidInput, match=sentence):
        make_run(project, **wanted)
    assert not TrainingRun.objects.exists()
    assert not project.datasets.exists()


def test_too_few_samples_are_refused():
    with pytest.raises(datasets.NotEnoughData):
        make_run(make_project(trainer="dummy"))


def test_a_second_run_of_a_project_is_refused_and_another_project_is_free():
    project = make_trainable()
    first = make_run(project)
    with pytest.raises(submission.RunActive, match=f"Run {first.number} of this project"):
        make_run(project)
    assert make_run().pk


def test_of_two_requests_at_once_the_database_lets_one_through():
    project = make_trainable()
    first = make_run(project)
    with (
        patch.object(submission, "_refuse_second", wraps=submission._refuse_second) as refuse,
        pytest.raises(submission.RunActive),
    ):
        refuse.side_effect = [None, submission.RunActive("second")]
        make_run(project)
    assert list(project.runs.all()) == [first]
    assert Job.objects.count() == 1


def test_a_foreseen_failure_is_told():
    with trainer_that(TrainingFailed("All pictures are the same.")):
        run = make_run()
        work_off()
    run.refresh_from_db()
    assert (run.status, run.error) == (Status.FAILED, "All pictures are the same.")
    assert run.job.status == Job.Status.FAILED


def test_an_unexpected_error_is_told_without_a_traceback():
    with trainer_that(KeyError("/secret/path")):
        run = make_run()
        work_off()
    run.refresh_from_db()
    assert run.status == Status.FAILED
    assert run.error.startswith("The run failed with an unexpected error (KeyError)")
    assert "secret" not in run.error + run.log + run.job.error
    assert not ModelVersion.objects.exists()


def test_a_waiting_run_is_cancelled_at_once():
    run = make_run()
    execution.cancel_run(run)
    work_off()
    run.refresh_from_db()
    assert (run.status, run.job.status) == (Status.CANCELLED, Job.Status.CANCELLED)


def test_a_running_run_is_cancelled_at_its_next_step():
    run = make_run()

    def ask_to_stop(self, task, progress):
        execution.cancel_run(run)
        progress(1, 2, "one more step")
        raise AssertionError("it went on")

    with patch.object(DummyTrainer, "train", ask_to_stop):
        work_off()
    run.refresh_from_db()
    assert (run.status, run.job.status) == (Status.CANCELLED, Job.Status.CANCELLED)


def test_what_has_ended_cannot_be_cancelled():
    with pytest.raises(Conflict, match="ended already"):
        execution.cancel_run(make_finished_run())


class TestWhenProcessesDie:
    def test_a_run_whose_worker_was_killed_is_done_by_another(self):
        run = make_run(promote=True)
        job = jobs.claim_next("killed", "training")
        with trainer_that(SystemExit()), pytest.raises(SystemExit):
            execution.execute_run(run)
        silence(job)
        assert jobs.requeue_stalled() == 1
        work_off()
        run.refresh_from_db()
        assert run.status == Status.SUCCEEDED
        assert "Started again" in run.log
        assert ModelVersion.objects.count() == 1
        assert run.project.promotions.count() == 1

    def test_done_again_after_its_end_it_changes_nothing(self):
        run = make_finished_run(promote=True)
        execution.execute_run(run)
        assert ModelVersion.objects.count() == 1
        assert run.project.promotions.count() == 1

    def test_of_two_processes_at_the_same_run_one_registers(self):
        run = make_run(promote=True)

        def slow(self, task, progress):
            with patch.object(DummyTrainer, "train", lambda *args: _model(("dark", "light"))):
                execution.execute_run(TrainingRun.objects.get(pk=run.pk))
            return _model(("dark", "light"))

        with patch.object(DummyTrainer, "train", slow):
            execution.execute_run(run)
        assert ModelVersion.objects.count() == 1
        assert run.project.promotions.count() == 1

    def test_a_kill_in_mid_promotion_keeps_the_old_model_and_registers_nothing(self):
        project = make_trainable()
        old = make_model_version(project, ("light", "dark"))
        registry.promote_version(old, by=None)
        run = make_run(project, promote=True)
        with (
            patch.object(registry, "promote_version", side_effect=SystemExit),
            pytest.raises(SystemExit),
        ):
            execution.execute_run(run)
        run.refresh_from_db()
        assert run.status == Status.RUNNING
        assert registry.live_version(project) == old
        assert ModelVersion.objects.count() == 1
        execution.execute_run(run)
        run.refresh_from_db()
        assert registry.live_version(project) == run.model_version

    def test_a_worker_that_lost_its_job_does_not_cancel_the_run(self):
        run = make_run()
        with trainer_that(Cancelled()), pytest.raises(Cancelled):
            execution.execute_run(run)
        run.refresh_from_db()
        assert run.status == Status.RUNNING

    def test_a_run_that_kills_every_worker_is_given_up(self):
        run = make_run()
        for _attempt in range(run.job.max_attempts):
            silence(jobs.claim_next("killed", "training"))
            jobs.requeue_stalled()
        execution.end_abandoned_runs()
        run.refresh_from_db()
        assert run.status == Status.FAILED
        assert "died" in run.error
        assert make_run(run.project).pk

    def test_a_killed_command_does_not_block_its_project(self):
        project = make_trainable()
        run, job = submission.submit_and_claim_run(project)
        with pytest.raises(submission.RunActive):
            submission.submit_and_claim_run(project)
        silence(job)
        second, _job = submission.submit_and_claim_run(project)
        run.refresh_from_db()
        assert (run.status, second.status) == (Status.FAILED, Status.WAITING)

    def test_a_busy_run_is_not_given_up(self):
        run = make_run()
        jobs.claim_next("busy", "training")
        assert execution.end_abandoned_runs() == 0
        run.refresh_from_db()
        assert run.is_active

    def test_a_run_waits_for_a_database_that_is_gone(self):
        run = make_run()
        with (
            trainer_that(OperationalError("server closed the connection")),
            pytest.raises(OperationalError),
        ):
            execution.execute_run(run)
        run.refresh_from_db()
        assert run.is_active


@pytest.mark.parametrize(
    ("trainer", "options", "sentence"),
    [
        ("azure", {}, "“azure” learns only categories that exclude each other"),
        (
            "keras",
            {"backbone": "scratch"},
            "“scratch” learns only categories that exclude each other",
        ),
        (
            "keras",
            {"backbone": "lite0", "fine_tune": True},
            "Fine-tuning needs categories that exclude each other",
        ),
    ],
)
def test_what_cannot_learn_several_categories_of_a_picture_is_refused(trainer, options, sentence):
    project = make_trainable()
    project.multilabel = True
    project.save()
    with pytest.raises(InvalidInput, match=sentence):
        make_run(project, trainer=trainer, **options)
    assert not project.runs.exists()

"""Executing a training run: train, evaluate, register and, if asked, promote.

Nothing of a run can be seen before its last transaction, which registers the model, stores its
figures, ends the run and promotes, all at once. A process that dies earlier leaves nothing behind
but files nobody points at, so a run can be started again after any crash.
"""

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common import jobs
from common.errors import Conflict, DomainError
from common.models import Job
from common.progress import Cancelled, Progress, no_progress
from common.storages import StorageUnavailable
from common.tasks import periodic, task
from predictions import registry
from predictions.models import ModelVersion, Project
from predictions.predictors.base import ModelRef
from training.data import datasets, near_duplicates
from training.data.known_categories import known_classes
from training.errors import TrainingFailed
from training.evaluation import (
    evaluations,
    label_check,
    nok_replay,
    out_of_distribution,
    selective,
)
from training.models import DatasetItem, Sweep, TrainingRun
from training.pool import proposals
from training.runs import mlflow, notices, outlook, promotion
from training.runs.code_version import code_version
from training.runs.run_log import RunLog
from training.trainers.base import BaseTrainer, TrainedModel, TrainingTask, trainers

logger = logging.getLogger(__name__)

Split = DatasetItem.Split
Status = TrainingRun.Status


class Interrupted(Cancelled):
    """The person at the terminal, or the system, stops the process that trains."""


class RunFailed(DomainError):
    """An error that nobody foresaw ended the run; only the log of the server says which."""

    code = "run_broke"
    status = 500


@task(
    "training.run",
    queue="training",
    max_attempts=3,  # how often a worker may die over a run before it is given up
    stored_as={"run_key": "run"},
    keeps_language=True,
    title=gettext_lazy("Train a model"),
)
def train_in_background(progress: Progress, run_key: int) -> None:
    """Execute a training run; delivered again, it starts over, unless the run has ended."""
    if run := TrainingRun.objects.filter(pk=run_key).first():
        execute_run(run, progress)


def execute_run(run: TrainingRun, progress: Progress = no_progress) -> None:
    """Execute a run and record how it ended; one that has ended already is left as it is.

    Raises:
        Cancelled: if it was asked to stop.
        DomainError: for what went wrong, in a sentence that is kept on the run.
        OperationalError, InterfaceError: the database is gone; the run is still active and can be
            started again.
    """
    log = RunLog(run, progress)
    if not _start(run, log):
        return
    try:
        _train_and_register(run, log)
    except Cancelled as error:
        # Cancelled also says that another process has taken over the job and goes on with the run
        if (
            isinstance(error, Interrupted)
            or run.job_id is None
            or Job.objects.filter(pk=run.job_id, cancel_requested=True).exists()
        ):
            _end(run, Status.CANCELLED)
        raise
    except DomainError as error:
        _end(run, Status.FAILED, error=str(error))
        raise
    except (OperationalError, InterfaceError):
        # Nothing can be written down now; the job is delivered again
        raise
    except Exception as error:
        logger.exception("run %s of %s broke", run.number, run.project.slug)
        sentence = _(
            "The run failed with an unexpected error (%(kind)s); see the server's log. Nothing was "
            "changed."
        )
        broke = RunFailed(sentence % {"kind": type(error).__name__})
        _end(run, Status.FAILED, error=str(broke))
        raise broke from error


def cancel_run(run: TrainingRun) -> None:
    """Stop a run: a queued or waiting one at once, a running one at its next step.

    Raises:
        Conflict: if it has ended already.
    """
    queued = TrainingRun.objects.queued().filter(pk=run.pk)
    if queued.update(status=Status.CANCELLED, finished_at=timezone.now()):
        return
    run.refresh_from_db()
    if not run.is_active:
        raise Conflict(_("This run has ended already."))
    if run.job:
        jobs.request_cancel(run.job)
    end_abandoned_runs(run.project)


@periodic(seconds=15)
def end_abandoned_runs(project: Project | None = None) -> int:
    """End the runs whose job has ended without them, so that none blocks its project.

    Its process died too often, or it was cancelled while it waited.

    So no dead run blocks its project. Returns how many were ended.
    """
    active = TrainingRun.objects.active().select_related("job")
    ended = 0
    for run in active.filter(project=project) if project else active:
        job = run.job
        # Where the row of the job is gone, nobody is left to do the run
        if job and job.status in (Job.Status.WAITING, Job.Status.RUNNING):
            continue
        if job and job.status == Job.Status.CANCELLED:
            ended += _end(run, Status.CANCELLED)
        else:
            ended += _end(
                run,
                Status.FAILED,
                error=_("The process that trained died. Nothing was changed; start again."),
            )
    return ended


@dataclass(frozen=True)
class CandidateReport:
    """What was found out about a trained model before it is registered.

    `measurement` is None where no test picture could be scored; `thresholds`, `rejected` and
    `replays` are stored as they are; `load_problem` says why it could not answer, if that was
    tried.
    """

    measurement: evaluations.Measurement | None
    thresholds: list[dict[str, Any]]
    rejected: dict[str, dict[str, int]]
    replays: list[nok_replay.Replay]
    load_problem: str = ""


def _train_and_register(run: TrainingRun, log: RunLog) -> None:
    try:
        trainer = trainers[run.trainer]
    except ImproperlyConfigured as error:
        raise TrainingFailed(str(error)) from error
    _keep_groups_together(run, log)
    task = _training_task(run, trainer)
    if not task.known and (unused := known_classes(run.project)):
        names = ", ".join(f"“{name}”" for name in sorted(unused))
        log.line(
            _("What is known beforehand of %(categories)s does not count with this backbone.")
            % {"categories": names}
        )
    trained = trainer.train(task, log)
    for line in trained.notes:
        log.line(line)
    report = _evaluate_candidate(run, trainer, trained, log)
    # Measured on this data set too, or there is nothing to compare the candidate with
    live = registry.live_version(run.project)
    if live and (problem := promotion.try_evaluate(live, run.dataset, log)):
        log.line(_("The live model could not be measured: %(reason)s") % {"reason": problem})
    if run.promote:
        # Tried before the transaction, which would hold its locks while a model is loaded
        problem = promotion.load_problem(trained.predictor, _model_ref(trained))
        report = replace(report, load_problem=problem)
    log(1, 1, _("Registering the model"))
    _register(run, trained, report, live, log)


def _keep_groups_together(run: TrainingRun, log: RunLog) -> None:
    """Give a run another data set where its own has parts of one group in several splits.

    Pictures may have been labelled so shortly before the run that nobody had compared them when
    the data set was frozen. A data set that another run has learned from stays as it is; the runs
    of a sweep change together, before the first of them learns.
    """
    frozen = run.dataset
    if frozen.runs.exclude(pk=run.pk).filter(started_at__isnull=False).exists():
        return
    try:
        near_duplicates.find_by_hashes(run.project, log)
    except StorageUnavailable as error:
        sentence = _("The pictures could not be compared with each other: %(reason)s")
        log.line(sentence % {"reason": error})
    if not datasets.leaking_samples(frozen):
        return
    with transaction.atomic():
        run.dataset = datasets.freeze_dataset(run.project, by=run.requested_by)
        run.save(update_fields=["dataset"])
        if run.sweep_id:
            frozen.runs.filter(sweep=run.sweep_id).update(dataset=run.dataset)
            Sweep.objects.filter(pk=run.sweep_id).update(dataset=run.dataset)
    log.line(
        _("Data set version %(number)d, in which what belongs together is in one split")
        % {"number": run.dataset.number}
    )


def _evaluate_candidate(
    run: TrainingRun, trainer: BaseTrainer, trained: TrainedModel, log: RunLog
) -> CandidateReport:
    """Measure a model that is not registered yet.

    Thresholds are found on the validation split and checked on the test split.

    There are none where categories do not exclude each other: there, no single answer is right or
    wrong.
    """
    model, names = _model_ref(trained), list(trained.class_names)
    measurement: evaluations.Measurement | None = None
    try:
        measurement = evaluations.measure_test_split(
            trainer,
            model,
            names,
            run.dataset,
            log,
            temperature=trained.manifest.get("temperature"),
            left_out=trained.learned_from_test,
        )
    except evaluations.NoTestPictures as error:
        log.line(str(error))
    thresholds: list[dict[str, Any]] = []
    if not run.project.multilabel:
        validated = evaluations.measure_split(
            trainer, model, names, run.dataset, Split.VALIDATION, log
        )
        none = np.empty(0), np.empty(0, bool)
        thresholds = selective.propose_thresholds(
            validated.answers, measurement.answers if measurement else none
        )
    rejected = out_of_distribution.count_rejected(trainer, model, run.dataset, log)
    replays = nok_replay.replay_noks(trainer, model, names, run.dataset, log)
    return CandidateReport(measurement, thresholds, rejected, replays)


@transaction.atomic
def _register(
    run: TrainingRun,
    trained: TrainedModel,
    report: CandidateReport,
    live: ModelVersion | None,
    log: RunLog,
) -> None:
    """Make the result known, whole or not at all, and once if two processes did the run."""
    # Of two processes with the same run, one waits here and then finds the run ended
    Project.objects.select_for_update().get(pk=run.project_id)
    if not TrainingRun.objects.active().filter(pk=run.pk).exists():
        return
    categories = list(run.project.categories.all())
    manifest = {
        **trained.manifest,
        # Names change; by these the answers keep their meaning
        "category_uuids": evaluations.class_uuids(trained.class_names, categories),
        "dataset": {"number": run.dataset.number, "digest": run.dataset.digest},
    }
    if trained.learned_from_test:
        manifest["learned_from_test"] = list(trained.learned_from_test)
    version = registry.register_version(
        run.project,
        predictor=trained.predictor,
        reference=trained.reference,
        class_names=list(trained.class_names),
        digest=trained.digest,
        manifest=manifest,
        description=_("Run %(run)d on data set %(dataset)d")
        % {"run": run.number, "dataset": run.dataset.number},
    )
    if report.measurement:
        evaluations.store_evaluation(version, run.dataset, report.measurement)
    nok_replay.store_replays(version, report.replays)
    outcome = report.load_problem
    if run.promote and not outcome:
        outcome = promotion.promote_if_better(
            version, live, run.dataset, by=run.requested_by
        ).sentence
    if outcome:
        log.line(outcome)
    TrainingRun.objects.filter(pk=run.pk).update(
        status=Status.SUCCEEDED,
        model_version=version,
        curves={name: list(values) for name, values in trained.curves.items()},
        outcome=outcome,
        abstaining=report.thresholds,
        unfamiliar=report.rejected,
        finished_at=timezone.now(),
    )
    outlook.request_outlook(run)
    if proposals.newest_ranking(run.project):
        # Somebody labels what is proposed: with the new labels, other pictures teach most
        proposals.request_ranking(run.project)
    notices.announce(run)
    mlflow.announce(run)
    label_check.request_check(run)


def _training_task(run: TrainingRun, trainer: BaseTrainer) -> TrainingTask:
    class_names = datasets.dataset_class_names(run.dataset)
    known: dict[str, list[int]] = {}
    if trainer.uses_known_categories(str(run.parameters.get("backbone") or "")):
        known = known_classes(run.project)
    return TrainingTask(
        project=run.project.slug,
        # What is known beforehand needs no picture to stay among the answers
        class_names=tuple(sorted({*class_names, *known})),
        known=known,
        examples=datasets.load_examples(run.dataset, Split.TRAIN, Split.VALIDATION),
        parameters=run.parameters,
        seed=run.seed,
        project_id=str(run.project.uuid),
        multilabel=run.project.multilabel,
        # What answers now, and what would after going back
        in_use=[
            version.reference
            for version in (
                registry.live_version(run.project),
                registry.previous_version(run.project),
            )
            if version
        ],
    )


def _model_ref(trained: TrainedModel) -> ModelRef:
    return ModelRef(
        reference=trained.reference, class_names=tuple(trained.class_names), digest=trained.digest
    )


def _start(run: TrainingRun, log: RunLog) -> bool:
    """Mark a run as under way; return False if it has ended."""
    run.refresh_from_db()
    # Asked before the UPDATE, which sets it
    again = run.started_at is not None
    # An UPDATE that filters on the old state: a run that was cancelled meanwhile stays so
    started = TrainingRun.objects.active().filter(pk=run.pk)
    if not started.update(
        status=Status.RUNNING,
        started_at=Coalesce(F("started_at"), Now()),
        code=code_version(),
    ):
        return False
    run.refresh_from_db()
    if again:
        log.line(_("Started again: the process that had begun this run stopped."))
        return True
    log.line(_("Data set version %(number)d") % {"number": run.dataset.number})
    for each in datasets.collect_labelled(run.project).left_out:
        log.line(each.sentence)
    for name in datasets.categories_without_test(run.dataset):
        log.line(
            _("“%(category)s” has no test sample yet: how well it does will be unknown.")
            % {"category": name},
        )
    return True


@transaction.atomic
def _end(run: TrainingRun, status: str, *, error: str = "") -> int:
    # Only an active run can end: who comes second changes nothing
    ended = (
        TrainingRun.objects.active()
        .filter(pk=run.pk)
        .update(status=status, error=error, finished_at=timezone.now())
    )
    if ended:
        notices.announce(run)
        mlflow.announce(run)
    return ended

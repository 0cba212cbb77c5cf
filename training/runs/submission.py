"""Submitting a training run: checked options, a frozen data set, one active run per project."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.models import User
from common import jobs
from common.errors import Conflict, InvalidInput
from common.models import Job
from predictions.modalities import modalities
from predictions.models import Project
from training.data import datasets
from training.models import TrainingRun
from training.runs import execution
from training.trainers.base import BaseTrainer, trainers

MAX_SEED = 2**31 - 1


class RunActive(Conflict):
    """Another run of this project has not ended."""

    code = "run_active"


@dataclass(frozen=True)
class RunOptions:
    """What somebody may choose for a run; "" is the default of the trainer or of the project."""

    backbone: str = ""
    trainer: str = ""  # alias in TRAINERS
    seed: int = 0
    fine_tune: bool = False
    promote: bool = False
    trigger: str = ""  # of TrainingRun.Trigger
    repeats: TrainingRun | None = None  # whose data set and parameters are taken as they are


DEFAULTS = RunOptions()


def submit_run(project: Project, options: RunOptions = DEFAULTS, *, by: User | None) -> TrainingRun:
    """Freeze a data set version and ask a worker to train on it.

    Raises:
        InvalidInput: for an unknown trainer or backbone, or for an option that it does not support.
        NotEnoughData: if there are not enough labelled pictures.
        RunActive: if a run of this project has not ended.
    """
    parameters = check_options(project, options)
    with transaction.atomic():
        run, _job = _create_run(project, options, parameters, by)
    return run


def submit_and_claim_run(
    project: Project, options: RunOptions = DEFAULTS, *, by: User | None = None
) -> tuple[TrainingRun, Job]:
    """Prepare a run that this very process does, with `jobs.run_job`. Raises as `submit_run` does.

    Its job has the heartbeat of any other, so a killed command is noticed; but it has one attempt,
    because nobody at a terminal expects a run that they killed to go on elsewhere.
    """
    parameters = check_options(project, options)
    with transaction.atomic():
        run, job = _create_run(project, options, parameters, by, max_attempts=1)
        claimed = jobs.claim_job(job.pk, jobs.new_worker_name())
    if claimed is None:
        raise RunActive(_("Another process has taken this run."))
    return run, claimed


def options_of(run: TrainingRun) -> RunOptions:
    """Return the options that repeat a run: its data set, trainer, parameters and seed.

    Raises Conflict if it has made no model: then there is nothing to compare with.
    """
    if run.model_version_id is None:
        raise Conflict(_("This run has made no model, so it cannot be repeated."))
    return RunOptions(
        backbone=run.parameters.get("backbone", ""),
        trainer=run.trainer,
        seed=run.seed,
        fine_tune=bool(run.parameters.get("fine_tune")),
        repeats=run,
    )


def next_number(project: Project) -> int:
    """Return the number of the next run of a project, which the caller has locked."""
    return (project.runs.aggregate(last=Max("number"))["last"] or 0) + 1


def default_backbone(trainer: BaseTrainer, project: Project) -> str:
    """Return the backbone that a run gets when none is named."""
    if project.inspection and (inspecting := trainer.inspection_backbone()):
        return inspecting
    names = trainer.backbone_names()
    if not names:
        return ""
    return settings.DEFAULT_BACKBONE if settings.DEFAULT_BACKBONE in names else names[0]


def project_trainer_alias(project: Project) -> str:
    return project.trainer or modalities[project.modality].default_trainer()


def trainer_named(alias: str) -> BaseTrainer:
    """Return a trainer. Raises InvalidInput, naming those that exist."""
    if alias not in trainers:
        sentence = _("There is no trainer “%(name)s”. There are: %(known)s.")
        raise InvalidInput(sentence % {"name": alias, "known": ", ".join(trainers)})
    try:
        return trainers[alias]
    except ImproperlyConfigured as error:
        raise InvalidInput(str(error)) from error


def _create_run(
    project: Project,
    options: RunOptions,
    parameters: Mapping[str, Any],
    by: User | None,
    *,
    max_attempts: int | None = None,
) -> tuple[TrainingRun, Job]:
    if not 0 <= options.seed <= MAX_SEED:
        raise InvalidInput(_("The seed must be between 0 and %(largest)d.") % {"largest": MAX_SEED})
    # Two requests at once would give two runs one number
    Project.objects.select_for_update().get(pk=project.pk)
    _refuse_second(project)
    repeats = options.repeats
    dataset = repeats.dataset if repeats else datasets.freeze_dataset(project, by=by)
    # In a savepoint of its own: a refused INSERT would spoil the whole transaction
    try:
        with transaction.atomic():
            run = TrainingRun.objects.create(
                project=project,
                number=next_number(project),
                dataset=dataset,
                trainer=options.trainer or project_trainer_alias(project),
                parameters=repeats.parameters if repeats else parameters,
                seed=options.seed,
                repeats=repeats,
                promote=options.promote,
                trigger=options.trigger,
                requested_by=by,
            )
    except IntegrityError:
        # Somebody else was quicker: name their run instead of a constraint
        _refuse_second(project)
        raise
    training = execution.train_in_background.using(max_attempts=max_attempts)
    run.job = training.enqueue(run_key=run.pk)
    run.save(update_fields=["job"])
    return run, run.job


def check_options(project: Project, options: RunOptions) -> dict[str, Any]:
    """Return the parameters of a run, or refuse what the trainer cannot do; end dead runs.

    Raises InvalidInput.
    """
    trainer = trainer_named(options.trainer or project_trainer_alias(project))
    fine_tune = options.fine_tune
    backbone = options.backbone or default_backbone(trainer, project)
    if project.modality not in trainer.modalities:
        sentence = _(
            "The trainer “%(name)s” does not learn from what this project holds: %(kind)s. Choose "
            "another trainer."
        )
        raise InvalidInput(
            sentence % {"name": trainer.alias, "kind": project.get_modality_display()}
        )
    if gone := trainer.retired_backbone(backbone):
        raise InvalidInput(gone)
    if backbone and not trainer.knows_backbone(backbone):
        sentence = _("There is no backbone “%(name)s” here. There are: %(known)s.")
        names = ", ".join(trainer.backbone_names()) or _("none")
        raise InvalidInput(sentence % {"name": backbone, "known": names})
    if project.multilabel:
        _check_multilabel(trainer, backbone, fine_tune)
    if fine_tune and not trainer.supports_fine_tuning(backbone):
        able = ", ".join(
            name for name in trainer.backbone_names() if trainer.supports_fine_tuning(name)
        ) or _("none")
        sentence = _(
            "Only these backbones can be fine-tuned here: %(able)s. Choose one, or leave "
            "fine-tuning out."
        )
        raise InvalidInput(sentence % {"able": able})
    # As a worker does every few seconds: without any, a dead run would block the project for ever
    jobs.requeue_stalled()
    execution.end_abandoned_runs(project)
    return ({"backbone": backbone} if backbone else {}) | ({"fine_tune": True} if fine_tune else {})


def _check_multilabel(trainer: BaseTrainer, backbone: str, fine_tune: bool) -> None:
    able = trainer.multilabel_backbone_names()
    if not able:
        sentence = _(
            "The trainer “%(name)s” learns only categories that exclude each other. Choose another "
            "trainer."
        )
        raise InvalidInput(sentence % {"name": trainer.alias})
    if backbone not in able:
        sentence = _(
            "The backbone “%(name)s” learns only categories that exclude each other, and those of "
            "this project do not. These can: %(able)s."
        )
        raise InvalidInput(sentence % {"name": backbone, "able": ", ".join(able)})
    if fine_tune:
        raise InvalidInput(
            _(
                "Fine-tuning needs categories that exclude each other, and those of this project "
                "do not. Leave it out."
            )
        )


def _refuse_second(project: Project) -> None:
    if run := project.runs.active().first():
        sentence = _(
            "Run %(number)d of this project, requested at %(time)s, has not ended. Wait for it, or "
            "cancel it on its page. A run whose process was killed is given up after about a "
            "minute."
        )
        asked = date_format(timezone.localtime(run.created_at), "SHORT_DATETIME_FORMAT")
        raise RunActive(sentence % {"number": run.number, "time": asked})

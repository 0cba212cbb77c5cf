"""Sweeps: backbones, fine-tuning and seeds tried in one request, one run after another.

All runs of a sweep learn from the same data set version, so their models are measured on the same
pictures. They are queued: as soon as no run of the project is active, the next one begins. Nothing
is promoted by itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from statistics import fmean

from django.db import IntegrityError, transaction
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from accounts.models import User
from common.errors import Conflict, InvalidInput
from common.tasks import periodic
from predictions import registry
from predictions.models import Project
from training.data import datasets
from training.evaluation import evaluations
from training.evaluation.evaluations import Interval
from training.models import Evaluation, Sweep, TrainingRun
from training.runs import execution, promotion, submission
from training.runs.promotion import PromotionOutcome
from training.runs.submission import RunOptions

MOST_RUNS = 48
MOST_SEEDS = 10
Status = TrainingRun.Status


@dataclass(frozen=True)
class SweepOptions:
    """What is tried, in every combination; no backbone: the default one."""

    backbones: tuple[str, ...] = ()
    fine_tune: tuple[bool, ...] = (False,)
    seeds: tuple[int, ...] = (0,)
    trainer: str = ""


@dataclass(frozen=True)
class SweepResult:
    """A run of a sweep with the figures of its model, if it has been measured."""

    run: TrainingRun
    evaluation: Evaluation | None
    accuracy_between: Interval = None


@dataclass(frozen=True)
class Configuration:
    """What runs that differ in their seeds alone have in common, and how far seeds matter."""

    backbone: str
    fine_tune: bool
    measured: int
    mean: float
    lowest: float
    highest: float


def plan_runs(project: Project, options: SweepOptions) -> list[RunOptions]:
    """Return the options of every run: fine-tuned only where the backbone can be.

    Raises:
        InvalidInput: there is nothing to try, too much, or what the trainer cannot do.
    """
    trainer = submission.trainer_named(options.trainer or submission.project_trainer_alias(project))
    names = options.backbones or (submission.default_backbone(trainer, project),)
    # A dict, as two ways may lead to the same run
    planned = dict.fromkeys(
        RunOptions(
            backbone=backbone,
            trainer=options.trainer,
            seed=seed,
            fine_tune=fine_tune and trainer.supports_fine_tuning(backbone),
        )
        for backbone, fine_tune, seed in product(names, options.fine_tune, options.seeds)
    )
    if not planned:
        raise InvalidInput(_("There is nothing to try. Choose a backbone and a seed."))
    if len(planned) > MOST_RUNS:
        sentence = _("These are %(count)d runs, and a sweep has at most %(most)d. Choose fewer.")
        raise InvalidInput(sentence % {"count": len(planned), "most": MOST_RUNS})
    return list(planned)


def submit_sweep(project: Project, options: SweepOptions, *, by: User | None = None) -> Sweep:
    """Freeze a data set version, queue a run for each combination, and begin the first.

    Raises:
        InvalidInput: as `plan_runs`.
        NotEnoughData: if there are not enough labelled pictures.
        Conflict: if a sweep of this project has not ended.
    """
    planned = plan_runs(project, options)
    # Before anything is written: of 20 runs the last must not be the one that is refused
    parameters = [submission.check_options(project, each) for each in planned]
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        if project.runs.queued().exists():
            raise Conflict(
                _("A sweep of this project has not ended. Wait for it, or cancel it on its page.")
            )
        sweep = Sweep.objects.create(
            project=project,
            dataset=datasets.freeze_dataset(project, by=by),
            language=translation.get_language() or "",
            requested_by=by,
        )
        first = submission.next_number(project)
        TrainingRun.objects.bulk_create(
            TrainingRun(
                project=project,
                number=number,
                dataset=sweep.dataset,
                trainer=each.trainer or submission.project_trainer_alias(project),
                parameters=chosen,
                seed=each.seed,
                sweep=sweep,
                status=Status.QUEUED,
                requested_by=by,
            )
            for number, (each, chosen) in enumerate(
                zip(planned, parameters, strict=True), start=first
            )
        )
        start_next(project)
    return sweep


@periodic(seconds=5)
def start_queued_runs() -> int:
    """Begin the next queued run of every project in which none is active; return how many."""
    waiting = TrainingRun.objects.queued().filter(project__removed_at=None)
    projects = Project.objects.filter(pk__in=waiting.values("project"))
    return sum(start_next(project) is not None for project in projects)


def start_next(project: Project) -> TrainingRun | None:
    """Begin the next queued run of a project, unless another one is active; return it."""
    run = project.runs.queued().select_related("sweep").first()
    if run is None or project.runs.active().exists():
        return None
    try:
        # A savepoint: where another process has begun one meanwhile, the constraint refuses this
        with transaction.atomic():
            mine = project.runs.queued().filter(pk=run.pk).update(status=Status.WAITING)
            if not mine:
                return None
            with translation.override(run.sweep.language or None if run.sweep else None):
                run.job = execution.train_in_background.enqueue(run_key=run.pk)
            run.status = Status.WAITING
            run.save(update_fields=["job"])
    except IntegrityError:
        return None
    return run


def cancel_sweep(sweep: Sweep) -> None:
    """Cancel what has not ended of a sweep. Raises Conflict if all of it has."""
    cancelled = sweep.runs.queued().update(status=Status.CANCELLED, finished_at=timezone.now())
    active = sweep.runs.active().first()
    if active:
        execution.cancel_run(active)
    elif not cancelled:
        raise Conflict(_("This sweep has ended already."))


def is_under_way(sweep: Sweep) -> bool:
    return sweep.runs.active().exists() or sweep.runs.queued().exists()


def sweep_results(sweep: Sweep) -> list[SweepResult]:
    """Return the runs of a sweep in their order, each with its figures: two queries."""
    runs = sweep.runs.select_related("model_version", "job", "project").order_by("pk")
    measured = {
        each.model_version_id: each
        for each in Evaluation.objects.filter(
            dataset=sweep.dataset_id, model_version__run__sweep=sweep
        ).defer("answers", "thresholds")
    }
    results = []
    for run in runs:
        evaluation = measured.get(run.model_version_id or 0)
        between = evaluations.metric_intervals(evaluation)[1] if evaluation else None
        results.append(SweepResult(run, evaluation, between))
    return results


def summarize_configurations(results: Iterable[SweepResult]) -> list[Configuration]:
    """Return each combination of backbone and fine-tuning over its seeds, the best mean first."""
    accuracies: dict[tuple[str, bool], list[float]] = {}
    for each in results:
        if each.evaluation:
            parameters = each.run.parameters
            key = parameters.get("backbone", ""), bool(parameters.get("fine_tune"))
            accuracies.setdefault(key, []).append(each.evaluation.accuracy)
    found = [
        Configuration(*key, len(values), fmean(values), min(values), max(values))
        for key, values in accuracies.items()
    ]
    return sorted(found, key=lambda each: -each.mean)


def promote_by_gate(run: TrainingRun, *, by: User) -> PromotionOutcome:
    """Promote the model of a run if the gate passes; the outcome says why or why not.

    Raises Conflict if the run has made no model.
    """
    version = run.model_version
    if version is None:
        raise Conflict(_("This run has made no model."))
    if problem := promotion.load_problem(version.predictor, registry.model_ref(version)):
        return PromotionOutcome(False, problem)
    live = registry.live_version(run.project)
    if live == version:
        raise promotion.NotPromotable(
            _("Version %(number)d is live already.") % {"number": version.number}
        )
    return promotion.promote_if_better(version, live, run.dataset, by=by)

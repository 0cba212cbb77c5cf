"""Two runs side by side: what differs in how they learned, and in how well their models do."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from predictions.models import Project
from training.evaluation import evaluations, paired_answers
from training.evaluation.evaluations import Interval
from training.evaluation.paired_answers import PairedAnswers
from training.models import Evaluation, TrainingRun


@dataclass(frozen=True)
class ComparedFact:
    """One fact of both runs, as it is shown."""

    name: str
    first: str
    second: str

    @property
    def differs(self) -> bool:
        return self.first != self.second


@dataclass(frozen=True)
class ComparedFigure:
    """A share of both models with its 95 % interval, if there is one."""

    name: str
    first: float | None
    second: float | None
    first_between: Interval = None
    second_between: Interval = None


@dataclass(frozen=True)
class RunComparison:
    facts: list[ComparedFact]
    pair: PairedAnswers | None  # None if one of the models was not measured
    overall: list[ComparedFigure]
    # By category: precision and recall
    categories: list[tuple[str, ComparedFigure, ComparedFigure]]


def compare_runs(first: TrainingRun, second: TrainingRun) -> RunComparison:
    """Compare two runs of a project that made models."""
    facts = [
        ComparedFact(name, _shown(read(first)), _shown(read(second)))
        for name, read in _facts(first.project).items()
    ]
    versions = first.model_version, second.model_version
    pair = None
    if versions[0] and versions[1]:
        pair = paired_answers.pair_versions(versions[0], versions[1])
    if pair is None:
        return RunComparison(facts, None, [], [])
    return RunComparison(facts, pair, _overall(pair), _by_category(pair))


def _facts(project: Project) -> dict[str, Callable[[TrainingRun], object]]:
    return {
        _("Data set"): lambda run: run.dataset.number,
        _("Trainer"): lambda run: run.trainer,
        _("Backbone"): lambda run: run.parameters.get("backbone"),
        _("Fine-tuning"): lambda run: _("yes") if run.parameters.get("fine_tune") else _("no"),
        _("Seed"): lambda run: run.seed,
        _("Other parameters"): lambda run: {
            name: value
            for name, value in run.parameters.items()
            if name not in ("backbone", "fine_tune")
        },
        _("Model"): lambda run: run.model_version and run.model_version.number,
        _("Digest"): lambda run: run.model_version and run.model_version.digest[:12],
        _("Regularisation"): lambda run: _manifest(run, "head", "l2"),
        _("Temperature"): lambda run: _manifest(run, "temperature"),
        _("Libraries"): lambda run: _manifest(run, "libraries"),
    }


def _manifest(run: TrainingRun, *keys: str) -> object:
    """Return a fact of the manifest of a run's model, or None."""
    value = run.model_version.manifest if run.model_version else None
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _shown(value: object) -> str:
    match value:
        case None | "" | {}:
            return "–"
        case float():
            return f"{value:.4g}"
        case dict():
            return ", ".join(f"{name} {_shown(each)}" for name, each in sorted(value.items()))
        case list():
            return json.dumps(value)
        case _:
            return str(value)


def _overall(pair: PairedAnswers) -> list[ComparedFigure]:
    first, second = pair.first, pair.second
    accuracies = [evaluations.metric_intervals(each)[1] for each in (first, second)]
    name = _("All categories right") if first.is_multilabel else _("Accuracy")
    return [
        ComparedFigure(name, first.accuracy, second.accuracy, *accuracies),
        ComparedFigure(_("Macro F1"), first.macro_f1, second.macro_f1),
        ComparedFigure(
            _("Calibration error"), first.calibration.get("error"), second.calibration.get("error")
        ),
    ]


def _by_category(pair: PairedAnswers) -> list[tuple[str, ComparedFigure, ComparedFigure]]:
    sides = pair.first, pair.second
    between = [evaluations.metric_intervals(each)[0] for each in sides]
    names = dict.fromkeys([*sides[0].per_category, *sides[1].per_category])

    def figure(name: str, metric: str) -> ComparedFigure:
        first, second = (_metric(each, name, metric) for each in sides)
        around_first, around_second = (each.get(name, {}).get(metric) for each in between)
        return ComparedFigure(metric, first, second, around_first, around_second)

    return [(name, figure(name, "precision"), figure(name, "recall")) for name in names]


def _metric(evaluation: Evaluation, name: str, metric: str) -> float | None:
    return evaluation.per_category.get(name, {}).get(metric)

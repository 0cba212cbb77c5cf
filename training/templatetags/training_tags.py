"""How the training pages write states, shares and durations."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django import template
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from predictions.models import Prediction
from predictions.templatetags.predictions_tags import percent
from training import plots
from training.evaluation import nok_replay, outlook
from training.models import TrainingRun

register = template.Library()

STATES = {
    TrainingRun.Status.QUEUED: gettext_lazy("queued"),
    TrainingRun.Status.WAITING: gettext_lazy("waiting"),
    TrainingRun.Status.RUNNING: gettext_lazy("running"),
    TrainingRun.Status.SUCCEEDED: gettext_lazy("succeeded"),
    TrainingRun.Status.FAILED: gettext_lazy("failed"),
    TrainingRun.Status.CANCELLED: gettext_lazy("cancelled"),
}

CURVES = {
    "loss": gettext_lazy("Loss"),
    "validation_loss": gettext_lazy("Loss (validation)"),
    "val_loss": gettext_lazy("Loss (validation)"),
    "fine_tuning_loss": gettext_lazy("Loss of fine-tuning"),
    "validation_fine_tuning_loss": gettext_lazy("Loss of fine-tuning (validation)"),
    "fine_tuning_accuracy": gettext_lazy("Accuracy of fine-tuning"),
    "validation_fine_tuning_accuracy": gettext_lazy("Accuracy of fine-tuning (validation)"),
    "accuracy": gettext_lazy("Accuracy"),
    "validation_accuracy": gettext_lazy("Accuracy (validation)"),
    "val_accuracy": gettext_lazy("Accuracy (validation)"),
}


@register.inclusion_tag("training/_status.html")
def run_status(run: TrainingRun) -> dict[str, Any]:
    return {"run": run, "label": STATES[TrainingRun.Status(run.status)]}


@register.simple_tag
def run_state(run: TrainingRun) -> str:
    return str(STATES[TrainingRun.Status(run.status)])


@register.filter
def share(value: float | None) -> str:
    """Write a number in [0, 1] as a percentage; a dash where it is undefined."""
    return "–" if value in (None, "") else percent(value)


@register.filter
def between(interval: tuple[float, float] | None) -> str:
    """Write an interval of shares as percentages; a dash where it is undefined."""
    if not interval:
        return "–"
    return _("%(low)s to %(high)s") % {"low": percent(interval[0]), "high": percent(interval[1])}


@register.filter
def points(value: float) -> str:
    """Write a difference of shares in points: 0.021 as 2.1."""
    return number_format(round(100 * value, 1), 1)


@register.inclusion_tag("training/_outlook.html")
def show_outlook(run: TrainingRun) -> dict[str, Any]:
    """Show what more labels are likely to bring, where that was found out after a run."""
    found = run.outlook
    if not found:
        return {"found": None}
    return show_outlook_sentences(run) | {
        "run": run,
        "chart": plots.outlook_chart(
            found["labels"], found["accuracy"], outlook.MORE, found["forecast"]
        ),
    }


@register.inclusion_tag("training/_outlook_sentences.html")
def show_outlook_sentences(run: TrainingRun) -> dict[str, Any]:
    """Say in two sentences what more labels are likely to bring."""
    found = run.outlook
    if not found:
        return {"found": None}
    # Where a few labels are likely to bring most
    best = max(found["categories"], key=lambda each: each["gains"]["10"][0], default=None)
    return {"found": found, "best": best}


@register.filter
def two_places(value: float) -> str:
    """Write a threshold with two decimals, 0.62."""
    return number_format(round(value, 2), 2)


@register.filter
def axis_number(label: str) -> str:
    """Write the number at a tick of an axis with the decimal sign of the language."""
    return number_format(label)


@register.filter
def curve_name(name: str) -> str:
    """Write the name of a curve or chart; one that only its trainer knows stays as it is."""
    return str(CURVES.get(name.replace(" ", "_"), name))


@register.filter
def duration(run: TrainingRun) -> str:
    """Write how long a run took, or a dash before it has ended."""
    if not (run.started_at and run.finished_at):
        return "–"
    return time_spent(run.finished_at - run.started_at)


@register.filter
def time_spent(value: timedelta) -> str:
    """Write how long something took: "24 s", "1 min 19 s"."""
    seconds = round(value.total_seconds())
    if seconds < 60:
        return _("%(seconds)d s") % {"seconds": seconds}
    return _("%(minutes)d min %(seconds)d s") % {"minutes": seconds // 60, "seconds": seconds % 60}


@register.filter
def is_same(one: object, other: object) -> bool:
    """Say whether two things are one, and there."""
    return one is not None and one == other


@register.filter
def magnitude(value: float) -> float:
    """Return a number without its sign, which an arrow shows."""
    return abs(value)


@register.simple_tag
def look_up_replays(predictions: Iterable[Prediction]) -> str:
    """Look up what the live models say now of the samples of a list; prints nothing."""
    samples = [prediction.sample for prediction in predictions]
    found = nok_replay.live_replays(samples)
    for sample in samples:
        sample.live_replay = found.get(sample.pk)  # type: ignore[attr-defined]
    return ""


@register.inclusion_tag("training/_replay.html")
def what_it_says_now(prediction: Prediction) -> dict[str, Any]:
    """Tell who said NOK what the live model says of the picture now, if it was asked again.

    Two queries, or none after `{% look_up_replays %}` of the list that it is in.
    """
    sample = prediction.sample
    if not hasattr(sample, "live_replay"):
        look_up_replays([prediction])
    replay = sample.live_replay  # type: ignore[attr-defined]
    # The model that was wrong says nothing new
    if replay and replay.model_version_id == prediction.model_version_id:
        replay = None
    return {"replay": replay}

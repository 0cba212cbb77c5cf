"""How a run ended, told to whoever asked for it, or to the maintainers where nobody did."""

from collections.abc import Iterable

from django.urls import reverse

from accounts import roles
from accounts.models import User
from notifications.models import Kind
from notifications.notifying import notify, people_who_may
from predictions.models import Promotion
from training.models import TrainingRun

MAX_ERROR = 300  # characters


def announce(run: TrainingRun) -> None:
    """Have people told how a run ended; that it was cancelled, whoever did so knows.

    Call it in the transaction that ends the run: they are told if and only if it has ended.
    """
    run = TrainingRun.objects.select_related("project", "model_version", "requested_by").get(
        pk=run.pk
    )
    if run.status == TrainingRun.Status.CANCELLED:
        return
    kind, text = _what_came_of_it(run)
    notify(
        _interested(run),
        kind,
        text,
        key=f"run:{run.pk}",
        url=reverse("training:run", args=[run.pk]),
        project=run.project,
        params={
            "number": run.number,
            "version": run.model_version.number if run.model_version else None,
            "error": run.error[:MAX_ERROR],
        },
    )


def _what_came_of_it(run: TrainingRun) -> tuple[Kind, str]:
    if run.status == TrainingRun.Status.FAILED:
        return Kind.RUN_FAILED, "run_failed"
    if not run.promote:
        return Kind.RUN_DONE, "run_done"
    if Promotion.objects.filter(model_version=run.model_version_id).exists():
        return Kind.RUN_DONE, "run_promoted"
    return Kind.GATE_REFUSED, "gate_refused"


def _interested(run: TrainingRun) -> Iterable[User]:
    if run.trigger:
        return people_who_may(roles.TRAIN, run.project)
    return [run.requested_by] if run.requested_by else []

"""Iterations at Custom Vision: trained, measured by the service, published, cleaned up."""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from common.progress import Progress
from customvision.client.errors import RequestRejected, ResponseLost
from customvision.predictor import PublishedModel
from customvision.trainer.project_sync import ROUNDS, RemoteProjectClient
from customvision.trainer.upload_ledger import UploadLedger
from predictions.predictors.base import PredictorError
from training.errors import TrainingFailed

POLL_SECONDS = 3.0
MAX_TRAINING_SECONDS = 6 * 3600
USUAL_POLLS = 100  # what the progress bar expects
MAX_ITERATIONS = 20  # of a project, says the service's page on limits and quotas
THRESHOLD = 0.5
PREFIX = "classifr-"  # of published names, by which ours are known even without the ledger
NOT_NEEDED = (
    "BadRequestTrainingNotNeeded",
    "BadRequestTrainingNotNeededButTrainingPipelineUpdated",
)
RUNNING, DONE = "Training", "Completed"


@dataclass(frozen=True)
class IterationMetrics:
    """What the service reports for an iteration, at `THRESHOLD`; metrics in [0, 1]."""

    whole: dict[str, Any]
    by_tag: dict[str, dict[str, Any]]

    @property
    def names(self) -> list[str]:
        return sorted(self.by_tag)


def train_iteration(azure: RemoteProjectClient, ledger: UploadLedger, progress: Progress) -> Any:
    """Return the completed iteration of what the project holds now, training it if there is none.

    An iteration in progress, of an interrupted run or of somebody else, is waited for. Whether it
    is of the present pictures is for the service to say, which refuses to train the same again.

    Raises:
        TrainingFailed: the service refuses to train, or failed.
        CustomVisionError: as `Client.call`.
    """
    for _round in range(ROUNDS):
        try:
            iteration = azure.call("train_project", repeat=False)
        except ResponseLost:
            continue  # if it took effect, the next try hears that a training is in progress
        except RequestRejected as error:
            if error.reason in NOT_NEEDED:
                return _newest(azure, DONE)
            if error.reason != "BadRequestTrainingAlreadyInProgress":
                raise
            _wait(azure, _newest(azure, RUNNING), progress)
            continue
        # Before the wait: if this process dies, the next one knows the iteration as ours
        ledger.iterations.append(str(iteration.id))
        ledger.save()
        iteration = _wait(azure, iteration, progress)
        if iteration.status == DONE:
            return iteration
        details = getattr(iteration, "training_error_details", None)
        reason = {"reason": details or _("it does not say why.")}
        raise TrainingFailed(_("The training at Custom Vision failed: %(reason)s") % reason)
    raise TrainingFailed(_("Custom Vision did not start to train. Start the run again in a while."))


def _newest(azure: RemoteProjectClient, status: str) -> Any:
    """Return the newest iteration of this status, or the newest of all if there is none."""
    known = sorted(azure.call("get_iterations"), key=lambda one: one.created, reverse=True)
    for one in known:
        if one.status == status:
            return one
    # None has the status: it changed between the refusal and this question
    if not known:
        raise TrainingFailed(
            _("Custom Vision has no iteration, and refuses to train one. Look at its portal.")
        )
    return known[0]


def _wait(azure: RemoteProjectClient, iteration: Any, progress: Progress) -> Any:
    """Poll an iteration until it is no longer in progress; `progress` may raise Cancelled."""
    deadline = time.monotonic() + MAX_TRAINING_SECONDS
    polls = 0
    while iteration.status == RUNNING:
        progress(min(polls, USUAL_POLLS - 1), USUAL_POLLS, _("Custom Vision is training"))
        if time.monotonic() > deadline:
            raise TrainingFailed(
                _("Custom Vision has been training for hours. Start the run again to wait for it.")
            )
        time.sleep(POLL_SECONDS)
        iteration = azure.call("get_iteration", str(iteration.id))
        polls += 1
    return iteration


def iteration_metrics(azure: RemoteProjectClient, iteration: Any) -> IterationMetrics:
    """Return the metrics that the service measured on its own share of the pictures."""
    found = azure.call("get_iteration_performance", str(iteration.id), threshold=THRESHOLD)
    return IterationMetrics(
        {"threshold": THRESHOLD, **_figures(found)},
        {one.name: _figures(one) for one in found.per_tag_performance},
    )


def _figures(one: Any) -> dict[str, Any]:
    return {
        "precision": one.precision,
        "recall": one.recall,
        "average_precision": one.average_precision,
    }


def publish_iteration(
    azure: RemoteProjectClient, iteration: Any, resource_id: str
) -> PublishedModel:
    """Publish an iteration under a name of ours, unless it is published, and return where."""
    name = f"{PREFIX}{iteration.id}"
    for _round in range(ROUNDS):
        if iteration.publish_name:
            return PublishedModel(azure.id, str(iteration.id), iteration.publish_name)
        try:
            azure.call("publish_iteration", str(iteration.id), name, resource_id, repeat=False)
            return PublishedModel(azure.id, str(iteration.id), name)
        except ResponseLost:
            # Publishing twice would be an error, so look whether it was done
            iteration = azure.call("get_iteration", str(iteration.id))
        except RequestRejected as error:
            sentence = _("Custom Vision does not publish the model: %(reason)s Check %(setting)s.")
            setting = "AZURE_CUSTOM_VISION_PREDICTION_RESOURCE_ID"
            raise TrainingFailed(sentence % {"reason": error, "setting": setting}) from None
    raise TrainingFailed(
        _("Custom Vision did not publish the model. Start the run again in a while.")
    )


def delete_old_iterations(
    azure: RemoteProjectClient, ledger: UploadLedger, *, keep: int, in_use: Iterable[str]
) -> list[str]:
    """Delete our iterations beyond the newest `keep`, except those in use; return their names.

    Raises:
        TrainingFailed: there is still no room for one more.
    """
    known = sorted(azure.call("get_iterations"), key=lambda one: one.created, reverse=True)
    ours = [
        one
        for one in known
        if str(one.id) in ledger.iterations or (one.publish_name or "").startswith(PREFIX)
    ]
    busy = set()
    for text in in_use:
        with suppress(PredictorError):  # the version of another predictor
            busy.add(PublishedModel.parse(text).iteration)
    old = [one for one in ours[keep:] if str(one.id) not in busy and one.status != RUNNING]
    for one in old:
        # The service refuses to delete what is published
        if one.publish_name:
            azure.call("unpublish_iteration", str(one.id))
        azure.call("delete_iteration", str(one.id))
        ledger.iterations = [id_ for id_ in ledger.iterations if id_ != str(one.id)]
    ledger.save()
    if len(known) - len(old) >= MAX_ITERATIONS:
        sentence = _(
            "The Custom Vision project “%(name)s” has %(count)d iterations and takes no more. "
            "Delete some in its"
            " portal, or lower AZURE_CUSTOM_VISION_KEEP_ITERATIONS."
        )
        raise TrainingFailed(sentence % {"name": azure.name, "count": len(known) - len(old)})
    return [one.name for one in old]

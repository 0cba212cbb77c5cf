"""The trainer that trains at Azure Custom Vision: it sends what is new, waits, and publishes.

Every step can be repeated: after an interruption, by us or by a fault of the service, the next run
finds what was sent, waits for the training that was started, and publishes once.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from django.core.checks import CheckMessage, Error, Warning
from django.utils.translation import gettext as _

from common.backends import NotTried, PermissionCheck, check_permission
from common.parallel import parallel_map
from common.progress import Progress, no_progress, subrange
from customvision.client import rate_limits
from customvision.client.client import CustomVisionClient
from customvision.client.errors import CustomVisionError, ServiceBusy
from customvision.client.resource import Resource
from customvision.predictor import SETTINGS
from customvision.trainer import iterations, project_sync
from customvision.trainer.upload_ledger import UploadLedger
from predictions.predictors.base import (
    BasePredictor,
    ModelRef,
    PredictorUnavailable,
    Scores,
    predictors,
)
from training.data.examples import Example, decode_full_picture
from training.errors import TrainingFailed
from training.trainers.base import BaseTrainer, TrainedModel, TrainingTask

# Fewer than the service allows, so that there is room for a new one
FEWEST_KEPT, MOST_KEPT = 2, iterations.MAX_ITERATIONS - 2
PROBE_SECONDS = 20.0
ASKED_AT_ONCE = 4
PATIENCE_SECONDS = 300.0  # how long a picture is asked about while the service does not answer


class CustomVisionTrainer(BaseTrainer):
    """Trains in a project of Custom Vision, found by a mark in its description or by a setting.

    Args:
        endpoint, key: of the training resource.
        resource_id: of the prediction resource, which iterations are published to.
        tier: "F0" or "S0".
        projects: slug of a project here to the id of one at the service, where none should be
            created.
        keep_iterations: how many of our iterations to keep, besides those in use.
        predictor: alias of the predictor that serves what is trained.
    """

    asks_a_service = True

    def __init__(
        self,
        *,
        alias: str,
        endpoint: str = "",
        key: str = "",
        resource_id: str = "",
        tier: str = "S0",
        projects: Mapping[str, str] | None = None,
        keep_iterations: int = 10,
        predictor: str = "azure",
    ) -> None:
        super().__init__(alias=alias)
        self.resource_id = resource_id
        self.projects = dict(projects or {})
        self.keep_iterations = keep_iterations
        self.predictor = predictor
        self.client = CustomVisionClient(
            Resource("training", endpoint, key),
            per_second=rate_limits.OTHER_CALLS_PER_SECOND.get(tier, 10),
            try_seconds=60,
        )

    def train(self, task: TrainingTask, progress: Progress = no_progress) -> TrainedModel:
        if len(task.class_names) < 2:
            raise TrainingFailed(
                _("A model needs at least two categories to tell apart. Add another category.")
            )
        if missing := self.missing_settings():
            sentence = _("The trainer for Azure is not set up. Missing: %(names)s.")
            raise TrainingFailed(sentence % {"names": ", ".join(missing)})
        # A run that ends here can be started again, and continues where this one stopped
        try:
            return self._train(task, progress)
        except ServiceBusy as error:
            sentence = _(
                "%(reason)s Nothing is lost: the same run, started again, goes on from here."
            )
            raise TrainingFailed(sentence % {"reason": error}) from None
        except CustomVisionError as error:
            raise TrainingFailed(str(error)) from None

    def _train(self, task: TrainingTask, progress: Progress) -> TrainedModel:
        examples, lent = project_sync.choose_examples(task)
        progress(0, 100, _("Looking at what Custom Vision has"))
        azure = project_sync.find_or_create_project(
            self.client, task, self.projects.get(task.project, "")
        )
        ledger = UploadLedger.read(azure.id)
        tags = project_sync.ensure_tags(azure, task.class_names, ledger)
        refused = project_sync.sync_images(azure, examples, tags, ledger, subrange(progress, 0, 50))
        # Before the training, which needs room for one more
        removed = iterations.delete_old_iterations(
            azure, ledger, keep=self.keep_iterations, in_use=task.in_use
        )
        iteration = iterations.train_iteration(azure, ledger, subrange(progress, 50, 90))
        progress(90, 100, _("Publishing the model"))
        performance = iterations.iteration_metrics(azure, iteration)
        reference = iterations.publish_iteration(azure, iteration, self.resource_id)
        progress(100, 100, _("The model is published"))
        # Should they differ, the model's classes are those that the service reports
        same = set(performance.names) == set(task.class_names)
        return TrainedModel(
            predictor=self.predictor,
            reference=str(reference),
            class_names=task.class_names if same else tuple(performance.names),
            manifest={
                "backbone": {"name": "Custom Vision"},
                "custom_vision": {
                    "project": azure.id,
                    "project_name": azure.name,
                    "iteration": str(iteration.id),
                    "iteration_name": iteration.name,
                    "domain": str(iteration.domain_id or ""),
                    "images": len(ledger.images),
                    "performance": performance.whole,
                    "by_tag": performance.by_tag,
                },
            },
            learned_from_test=[example.sha256 for example in lent],
            notes=[*_notes(azure, iteration, refused, removed), *_about_lent(lent)],
        )

    def predict_proba(
        self, model: ModelRef, examples: Sequence[Example], progress: Progress = no_progress
    ) -> np.ndarray:
        # NaN for a picture that cannot be read or asked about
        rows = np.full((len(examples), len(model.class_names)), np.nan)
        places = [place for place, example in enumerate(examples) if example.read is not None]

        def ask(place: int) -> Scores | None:
            return _ask_patiently(predictors[self.predictor], model, examples[place])

        with closing(parallel_map(ask, places, threads=ASKED_AT_ONCE)) as asked:
            for done, (place, scores) in enumerate(zip(places, asked, strict=True)):
                progress(done, len(places), _("Asking Custom Vision about the pictures"))
                if scores:
                    rows[place] = [scores[name] for name in model.class_names]
        return rows

    def missing_settings(self) -> list[str]:
        resource = self.client.resource
        given = {
            "TRAINING_ENDPOINT": resource.endpoint,
            "TRAINING_KEY": resource.key,
            "PREDICTION_RESOURCE_ID": self.resource_id,
        }
        served = (
            predictors[self.predictor].missing_settings() if self.predictor in predictors else []
        )
        return [f"{SETTINGS}_{name}" for name, value in given.items() if not value] + served

    def probe(self) -> Iterator[PermissionCheck]:
        yield check_permission("training key", self._try_key)
        yield check_permission("publish resource id", self._try_publish_target)

    def _try_key(self) -> str:
        return (
            f"accepted by {self.client.resource.endpoint}, which has "
            f"{len(self._remote_projects())} projects"
        )

    def _try_publish_target(self) -> str:
        """Look for an iteration that is published to the resource.

        Publishing one as a test might change what clients see.
        """
        projects = self._remote_projects()
        if not self.resource_id:
            raise NotTried("not set: AZURE_CUSTOM_VISION_PREDICTION_RESOURCE_ID")
        for project in projects:
            for iteration in self.client.call(
                "get_iterations", str(project.id), within=PROBE_SECONDS
            ):
                if (
                    iteration.original_publish_resource_id or ""
                ).lower() == self.resource_id.lower():
                    return f"models are published to it, for example “{iteration.publish_name}”"
        raise NotTried(
            "set; whether it works shows at the first publication, as nothing is published to it "
            "yet"
        )

    def _remote_projects(self) -> list[Any]:
        if names := self.client.resource.unset():
            raise NotTried(f"not set: {', '.join(names)}")
        return list(self.client.call("get_projects", within=PROBE_SECONDS))

    def check(self) -> list[CheckMessage]:
        messages: list[CheckMessage] = []
        resource = self.client.resource
        if bool(resource.endpoint) != bool(resource.key):
            message = (
                f"Of {SETTINGS}_TRAINING_ENDPOINT and {SETTINGS}_TRAINING_KEY only one is set."
            )
            hint = (
                "Set both, or neither of them; `import_customvision` takes the other as an option."
            )
            messages.append(Warning(message, hint=hint, id="training.W011"))
        if problem := resource.problem():
            hint = (
                "Copy it from the page “Keys and Endpoint” of the resource: "
                "https://NAME.cognitiveservices.azure.com/"
            )
            messages.append(
                Error(f"{SETTINGS}_TRAINING_ENDPOINT {problem}", hint=hint, id="training.E012")
            )
        if not FEWEST_KEPT <= self.keep_iterations <= MOST_KEPT:
            message = f"{SETTINGS}_KEEP_ITERATIONS is {self.keep_iterations}."
            hint = (
                f"Choose {FEWEST_KEPT} to {MOST_KEPT}: Custom Vision keeps "
                f"{iterations.MAX_ITERATIONS} at most."
            )
            messages.append(Error(message, hint=hint, id="training.E013"))
        return messages


def _ask_patiently(predictor: BasePredictor, model: ModelRef, example: Example) -> Scores | None:
    """Ask about one picture, unless it cannot be read.

    A busy service is waited for, because nobody sits in front of the screen.
    """
    assert example.read is not None  # noqa: S101 (only those with a picture are asked about)
    picture = decode_full_picture(example.read, example.sha256)
    if picture is None:
        return None
    waited = 0.0
    while True:
        try:
            return predictor.predict([picture], model)[0]
        except PredictorUnavailable as error:
            # Without a time to wait for, as with a wrong key, waiting would not help
            pause = float(error.retry_after_seconds or 0)
            if not pause or waited + pause > PATIENCE_SECONDS:
                raise
        time.sleep(pause)
        waited += pause


def _notes(
    azure: project_sync.RemoteProjectClient, iteration: Any, refused: int, removed: Sequence[str]
) -> list[str]:
    named = {"iteration": iteration.name, "project": azure.name}
    notes = [_("“%(iteration)s” of the Custom Vision project “%(project)s”.") % named]
    if refused:
        notes.append(
            _("Pictures that Custom Vision cannot use and that were left out: %(count)d.")
            % {"count": refused}
        )
    if removed:
        notes.append(
            _("Deleted at Custom Vision, as older than what is kept: %(names)s.")
            % {"names": ", ".join(removed)}
        )
    return notes


def _about_lent(lent: Sequence[Example]) -> list[str]:
    if not lent:
        return []
    counts = Counter(name for example in lent for name in example.categories)
    sentence = _(
        "Custom Vision needs %(fewest)d pictures of each category, so pictures that were meant for "
        "the test were sent as well, and are left out of it: %(names)s."
    )
    names = ", ".join(f"“{name}” ({count})" for name, count in sorted(counts.items()))
    return [sentence % {"fewest": project_sync.MIN_IMAGES_PER_TAG, "names": names}]

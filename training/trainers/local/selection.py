"""Choosing a backbone for a project: each candidate's head is compared on the validation split.

What a backbone costs counts when it serves, again and again, so a candidate that takes more CPU
per picture than allowed does not take part. The rest goes by the loss: with as few pictures as
validate, accuracies are often equal.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
from django.conf import settings
from django.utils.translation import gettext as _

from common.progress import Progress, subrange
from predictions.predictors.local.engine import LiteRtEngine
from training import backbones
from training.backbones import imagenet
from training.trainers.base import TrainingTask
from training.trainers.local import export, extraction, head
from training.trainers.local.extraction import FeatureSet
from training.trainers.local.head import FittedHead
from training.trainers.local.known_head import known_head

SMALL_TO_LARGE = ("lite0-160", "lite0")
TIMED = 5  # runs of one picture


@dataclass(frozen=True)
class Candidate:
    """A backbone with the head learned on it, and what it takes."""

    name: str
    milliseconds: float  # of CPU per picture, of the network alone
    features: FeatureSet
    fitted: FittedHead


def extract_with_best(task: TrainingTask, progress: Progress) -> tuple[FeatureSet, FittedHead]:
    """Return the vectors and the head of the backbone that does best on the validation split.

    What was compared, and why it was chosen, is in the notes of the vectors.

    Raises:
        TrainingFailed: a backbone cannot be had, or no category could be learned.
    """
    budget = settings.AUTO_BACKBONE_CPU_MS
    names = [*SMALL_TO_LARGE, *imagenet.available_offline()]
    costs = {name: network_milliseconds(name, task) for name in names}
    affordable = [name for name in names if costs[name] <= budget] or [
        min(names, key=lambda each: costs[each])
    ]
    notes = [
        _(
            "%(name)s was not compared: it takes %(cost).1f ms of CPU per picture, more than the "
            "%(budget)g allowed."
        )
        % {"name": name, "cost": costs[name], "budget": budget}
        for name in names
        if name not in affordable
    ]
    features = {}
    share = 100 // len(affordable)
    for place, name in enumerate(affordable):
        part = subrange(progress, place * share, (place + 1) * share)
        features[name] = extraction.extract_frozen(name, task, part)
    most = max(len(each.examples) for each in features.values())
    # Others were refused before
    without_picture = set(task.known) - {each.category for each in task.examples}
    candidates = []
    for name, each in features.items():
        if len(each.examples) < most:
            # Losses on other samples would compare the samples
            notes.append(
                _("%(name)s was not compared: of %(count)d samples it has no feature vector.")
                % {"name": name, "count": most - len(each.examples)}
            )
            continue
        prior = known_head(name, task)
        if without_picture and prior is None:
            sentence = _("%(name)s was not compared: it knows no category without pictures.")
            notes.append(sentence % {"name": name})
            continue
        fitted = head.fit_head(*each.splits(task), len(task.class_names), prior=prior)
        candidates.append(Candidate(name, costs[name], each, fitted))
    best = _best(candidates)
    notes.append(_reason(candidates, best))
    return replace(best.features, notes=[*best.features.notes, *notes]), best.fitted


def network_milliseconds(name: str, task: TrainingTask) -> float:
    """Return how much CPU the network takes for one picture, on this machine, by one thread."""
    path = export.export_backbone(backbones.load(name, task.parameters))
    engine = LiteRtEngine(path, threads=1)
    pixels = np.zeros((1, engine.input_size, engine.input_size, 3), np.uint8)
    engine.run(pixels)  # sets its memory up
    times = []
    for _turn in range(TIMED):
        started = time.thread_time()
        engine.run(pixels)
        times.append(time.thread_time() - started)
    return 1000 * float(np.median(times))


def _best(candidates: list[Candidate]) -> Candidate:
    """Return the one with the lowest loss; the largest of ours where there is nothing to go by."""
    if len(candidates[0].features.validation_examples()) >= head.MIN_TO_CHOOSE:
        return min(candidates, key=lambda each: each.fitted.validation_loss or 0.0)
    ours = [each for each in candidates if each.name in SMALL_TO_LARGE]
    return (ours or candidates)[-1]


def _reason(candidates: list[Candidate], best: Candidate) -> str:
    if len(best.features.validation_examples()) < head.MIN_TO_CHOOSE:
        sentence = _("Too few validation samples to compare backbones: %(name)s was taken.")
        return sentence % {"name": best.name}
    compared = ", ".join(
        _("%(name)s %(loss).3f (%(cost).1f ms of CPU per picture)")
        % {"name": each.name, "loss": each.fitted.validation_loss, "cost": each.milliseconds}
        for each in candidates
    )
    return _(
        "Backbones compared by their validation loss: %(compared)s. %(name)s was chosen, as its "
        "loss is the lowest."
    ) % {"compared": compared, "name": best.name}

"""Ask the live model what is in a picture, and write its answer down.

Where the live model is a service that does not answer, a local model can stand in for it (setting
`FALL_BACK_TO`); the prediction then says which model it is of, and for which it stood in.
"""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import File
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.models import User
from common.media.content import Content
from predictions import groups, prediction_metrics, queries, registry, uploads
from predictions.conditions import NONE, Conditions
from predictions.models import ModelVersion, Prediction, Project, Sample
from predictions.predictors import base
from predictions.predictors.base import (
    BasePredictor,
    PredictorError,
    PredictorUnavailable,
    Scores,
    predictors,
)

logger = logging.getLogger(__name__)

Question = tuple[Sample, Content, str]  # the sample, its content, the name to show it under


@dataclass(frozen=True)
class BatchAnswer:
    """What a model version said of some pictures, in their order, and how long it took for each.

    `categories` are the keys of the classes' categories, by their present names; one that was
    removed is missing. `stood_in_for` is the live version, where that one did not answer and this
    one did in its place.
    """

    version: ModelVersion
    answers: list[base.PictureScores]
    latency_ms: float
    categories: Mapping[str, int] = field(default_factory=dict)
    stood_in_for: ModelVersion | None = None

    @property
    def scores(self) -> list[Scores]:
        return [each.scores for each in self.answers]


def classify_upload(
    project: Project,
    file: File,
    *,
    by: User,
    live: ModelVersion | None = None,
    given: Conditions = NONE,
    group: str = "",
) -> Prediction:
    """Take one picture in and ask the live model; both are kept together or not at all.

    The transaction comes last and holds nothing but the rows: the model has answered and the
    picture is stored before.

    Args:
        live: the live model version, where the caller knows it already.
        given: capture conditions that came with the picture.
        group: what the picture is of, see `SampleGroup`.

    Raises:
        InvalidInput: if it is no picture, or no text, that we accept; or no name of a group.
        QuotaReached: if the user sent too many.
        NoLiveModel: if nothing was promoted yet.
        PredictorUnavailable: if the model cannot answer now.
        PredictorError: if it cannot answer at all.
    """
    group = groups.clean_name(group)
    live = live or registry.require_live_version(project)
    picture = uploads.decode_user_upload(project, file, by=by, least_side=min_side(project, live))
    answer = predict_live(project, [picture], live)
    name = uploads.display_name(file.name or "")
    # At most twice: the second time with the categories of this moment.
    for is_last in (False, True):
        try:
            with uploads.kept(project, picture, by=by, given=given) as (sample, _is_new):
                (prediction,) = record_predictions(
                    project, [(sample, picture, name)], answer, by=by
                )
                groups.put_in_group([sample], group)
            break
        except IntegrityError:  # a category was removed since the model answered
            if is_last:
                raise
            current = registry.class_categories_now(answer.version)
            answer = replace(answer, categories={name: key for name, key in current if key})
    return prediction


def predict_with(
    project: Project, pictures: Sequence[Content], *, version: ModelVersion | None = None
) -> BatchAnswer:
    """Have a model version look at pictures, the live one unless given; writes no row.

    Raises:
        NoLiveModel, PredictorUnavailable, PredictorError: as `classify_upload`.
    """
    return _ask(project, pictures, version) if version else predict_live(project, pictures)


def batch_size(project: Project) -> int:
    """Return how many pictures the live model should be asked about together."""
    live = registry.live_version(project)
    try:
        return predictors[live.predictor].at_once if live else 1
    except ImproperlyConfigured:
        return 1


def predict_live(
    project: Project, pictures: Sequence[Content], live: ModelVersion | None = None
) -> BatchAnswer:
    """Have the live model look at pictures, or what stands in for it."""
    live = live or registry.require_live_version(project)
    try:
        return _ask(project, pictures, live)
    except PredictorUnavailable as error:
        stand_in = registry.fallback_version(live)
        if stand_in is None:
            raise
        logger.warning("Model %s does not answer (%s); %s stands in for it", live, error, stand_in)
        try:
            return replace(_ask(project, pictures, stand_in), stood_in_for=live)
        except (PredictorUnavailable, PredictorError) as also:
            logger.warning("Model %s cannot stand in: %s", stand_in, also)
            # The error of the live model: it may answer again soon, and the caller can wait for it.
            raise error from also


def _ask(project: Project, pictures: Sequence[Content], version: ModelVersion) -> BatchAnswer:
    predictor = _predictor(version)
    # Wall time around the predictor alone: what a user waits for its answer.
    started = time.perf_counter()
    answers = predictor.predict_scored(
        pictures, registry.model_ref(version), augment=project.test_time_augmentation
    )
    elapsed_ms = (time.perf_counter() - started) * 1000
    # A predictor may be anybody's: what it says is checked before anything relies on it.
    are_probabilities = all(
        one.scores.keys() == set(version.class_names)
        and all(math.isfinite(value) and 0 <= value <= 1 for value in one.scores.values())
        for one in answers
    )
    if len(answers) != len(pictures) or not are_probabilities:
        raise PredictorError(
            _("The model (version %(number)d) gave an invalid answer.") % {"number": version.number}
        )
    # A model knows its categories by the names of its training; here they get their present ones.
    current = registry.class_categories_now(version)
    names = dict(zip(version.class_names, (name for name, _key in current), strict=True))
    renamed = [
        replace(one, scores={names[name]: value for name, value in one.scores.items()})
        for one in answers
    ]
    categories = {name: key for name, key in current if key}
    return BatchAnswer(version, renamed, elapsed_ms / max(1, len(pictures)), categories)


def _predictor(version: ModelVersion) -> BasePredictor:
    try:
        return predictors[version.predictor]
    except ImproperlyConfigured as error:
        sentence = _("The model (version %(number)d) cannot be served here: %(reason)s")
        raise PredictorError(sentence % {"number": version.number, "reason": error}) from error


def min_side(project: Project, version: ModelVersion) -> int | None:
    """Return how many pixels of a picture's shorter side this version looks at; None for all.

    Raises:
        PredictorUnavailable, PredictorError: as `predict_with`.
    """
    return _predictor(version).least_side(
        registry.model_ref(version), augment=project.test_time_augmentation
    )


@transaction.atomic(savepoint=False)
def record_predictions(
    project: Project, questions: Sequence[Question], answer: BatchAnswer, *, by: User
) -> list[Prediction]:
    """Write a model's answer down, one prediction per question."""
    # In falling order in the row as well, for whoever reads it without us; PostgreSQL's jsonb keeps
    # no order, so `Prediction.ranked` sorts again.
    ranked = [sorted(scores.items(), key=lambda item: -item[1]) for scores in answer.scores]
    predictions = [
        queries.insert_prediction(
            Prediction(
                project=project,
                sample=sample,
                model_version=answer.version,
                stood_in_for=answer.stood_in_for,
                user=by,
                scores=dict(scores),
                top_id=answer.categories.get(scores[0][0]),
                confidence=scores[0][1],
                abstained=scores[0][1] < project.abstain_below or _is_refused(said, project),
                familiarity=said.familiarity,
                is_unfamiliar=_is_refused(said, project),
                latency_ms=answer.latency_ms,
                shown_name=shown_name,
            )
        )
        for (sample, _picture, shown_name), said, scores in zip(
            questions, answer.answers, ranked, strict=True
        )
    ]
    for prediction in predictions:
        prediction_metrics.count_prediction(prediction)
    return predictions


def _is_refused(said: base.PictureScores, project: Project) -> bool:
    return said.is_unfamiliar and project.abstain_when_unfamiliar

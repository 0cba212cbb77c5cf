"""What the API gives about data sets and provenance, as the OpenAPI description shows it."""

from typing import Any

from rest_framework import serializers

from review.models import Decision
from training.data.dataset_diff import Change, DatasetDiff, LabelPair
from training.evaluation.paired_answers import PairedAnswers
from training.models import DatasetItem
from training.provenance.answers import AnswerOrigin, NearSample
from training.provenance.neighbours import SearchState

Split = DatasetItem.Split


class DatasetSerializer(serializers.Serializer):
    """A frozen data set version; `number` names it in addresses."""

    number = serializers.IntegerField()
    digest = serializers.CharField(help_text="Of samples, categories and splits.")
    created_at = serializers.DateTimeField()


class ChangedSampleSerializer(serializers.Serializer):
    sample = serializers.UUIDField()
    before = serializers.ListField(child=serializers.CharField(), help_text="Categories.")
    after = serializers.ListField(child=serializers.CharField())
    split_before = serializers.ChoiceField(Split.values, allow_null=True)
    split_after = serializers.ChoiceField(Split.values, allow_null=True)
    answer = serializers.ChoiceField(
        ["fixed", "broke"],
        allow_null=True,
        help_text="Whether the answer of the models flipped: the newer one alone is right, or the "
        "older one alone.",
    )


class ComparedModelsSerializer(serializers.Serializer):
    """The models learned from the two versions, on the test pictures that both were asked about."""

    older = serializers.IntegerField(help_text="Number of the model version.")
    newer = serializers.IntegerField()
    compared = serializers.IntegerField()
    fixed = serializers.IntegerField()
    broke = serializers.IntegerField()
    p_value = serializers.FloatField(help_text="Of the exact McNemar test.")


class DifferenceSerializer(serializers.Serializer):
    """How two data set versions differ; `next` is the address of the next page of samples."""

    added = serializers.IntegerField()
    removed = serializers.IntegerField()
    relabelled = serializers.IntegerField()
    moved = serializers.IntegerField(help_text="To another split.")
    models = ComparedModelsSerializer(allow_null=True)
    next = serializers.URLField(allow_null=True)
    samples = ChangedSampleSerializer(many=True)


class LabelDecisionSerializer(serializers.Serializer):
    outcome = serializers.CharField()
    category = serializers.CharField(allow_null=True)
    reviewer = serializers.CharField(
        allow_null=True, help_text="null: unknown, or not for you to know."
    )
    created_at = serializers.DateTimeField()


class NearSampleSerializer(serializers.Serializer):
    sample = serializers.UUIDField()
    cosine = serializers.FloatField()
    categories = serializers.ListField(child=serializers.CharField())
    decision = LabelDecisionSerializer(allow_null=True)
    is_overruled = serializers.BooleanField(help_text="Reviewers say something else by now.")


class NearestSerializer(serializers.Serializer):
    """The training samples most like the one asked about. While `state` is `searching`, ask again
    in some seconds.
    """

    state = serializers.ChoiceField([each.value for each in SearchState])
    problem = serializers.CharField(allow_blank=True)
    compared = serializers.IntegerField()
    samples = NearSampleSerializer(many=True)


class LearnedDatasetSerializer(DatasetSerializer):
    train = serializers.IntegerField()
    validation = serializers.IntegerField()
    test = serializers.IntegerField()


class LearningRunSerializer(serializers.Serializer):
    number = serializers.IntegerField()
    trainer = serializers.CharField()
    parameters = serializers.DictField()
    seed = serializers.IntegerField()
    finished_at = serializers.DateTimeField(allow_null=True)


class OriginSerializer(serializers.Serializer):
    """Where an answer comes from."""

    prediction = serializers.UUIDField()
    model_version = serializers.IntegerField()
    predictor = serializers.CharField()
    digest = serializers.CharField(allow_blank=True)
    live_since = serializers.DateTimeField(allow_null=True)
    run = LearningRunSerializer(allow_null=True)
    data_set = LearnedDatasetSerializer(allow_null=True)
    nearest = NearestSerializer()
    decisions = LabelDecisionSerializer(many=True, help_text="About the sample itself.")


def render_difference(
    diff: DatasetDiff,
    pair: PairedAnswers | None,
    rows: list[tuple[LabelPair, str]],
    following: str | None,
) -> dict[str, Any]:
    """Return what `DifferenceSerializer` describes."""
    return {
        **{kind.value: getattr(diff, kind) for kind in Change},
        "models": {
            "older": pair.first.model_version.number,
            "newer": pair.second.model_version.number,
            "compared": pair.outcomes.count,
            "fixed": len(pair.fixed),
            "broke": len(pair.broke),
            "p_value": pair.outcomes.p_value,
        }
        if pair
        else None,
        "next": following,
        "samples": [
            {
                "sample": row.sample.uuid,
                "before": row.before,
                "after": row.after,
                "split_before": row.split_before,
                "split_after": row.split_after,
                "answer": flip or None,
            }
            for row, flip in rows
        ],
    }


def render_origin(origin: AnswerOrigin, *, with_names: bool) -> dict[str, Any]:
    """Return what `OriginSerializer` describes; reviewers' names only where they may be known."""
    run, dataset, search = origin.run, origin.dataset, origin.search
    return {
        "prediction": origin.prediction.uuid,
        "model_version": origin.version.number,
        "predictor": origin.version.predictor,
        "digest": origin.version.digest,
        "live_since": origin.promotion.created_at if origin.promotion else None,
        "run": {
            "number": run.number,
            "trainer": run.trainer,
            "parameters": run.parameters,
            "seed": run.seed,
            "finished_at": run.finished_at,
        }
        if run
        else None,
        "data_set": {
            "number": dataset.number,
            "digest": dataset.digest,
            "created_at": dataset.created_at,
            **dict(zip(Split.values, origin.split_totals, strict=True)),
        }
        if dataset
        else None,
        "nearest": {
            "state": search.state,
            "problem": search.problem,
            "compared": search.search.compared if search.search else 0,
            "samples": [_near(each, with_names=with_names) for each in origin.nearest],
        },
        "decisions": [_decision(each, with_names=with_names) for each in origin.decisions],
    }


def _near(near: NearSample, *, with_names: bool) -> dict[str, Any]:
    return {
        "sample": near.sample.uuid,
        "cosine": near.cosine,
        "categories": near.categories,
        "decision": _decision(near.decision, with_names=with_names) if near.decision else None,
        "is_overruled": near.is_overruled,
    }


def _decision(decision: Decision, *, with_names: bool) -> dict[str, Any]:
    reviewer = decision.reviewer if with_names else None
    return {
        "outcome": decision.outcome,
        "category": decision.category.name if decision.category else None,
        "reviewer": reviewer.get_username() if reviewer else None,
        "created_at": decision.created_at,
    }

"""What the API takes and gives, as the OpenAPI description shows it."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from predictions.categories import MAX_NAME
from predictions.groups import MAX_NAME as MAX_GROUP_NAME
from predictions.models import Feedback, Prediction, Project


class ErrorSerializer(serializers.Serializer):
    """Every refusal, whatever its status."""

    code = serializers.CharField(
        help_text="Stable, for programs: invalid_picture, quota_reached, not_found ..."
    )
    message = serializers.CharField(
        help_text="A sentence for people, in the language of the request."
    )
    fields_ = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        fields["fields"] = fields.pop("fields_")  # a serializer has an attribute of that name
        return fields


class ProjectSerializer(serializers.ModelSerializer):
    """A project; `slug` names it in addresses."""

    id = serializers.UUIDField(source="uuid")
    modality = serializers.ChoiceField(
        Project.Modality.values, help_text="What it classifies: pictures or texts."
    )
    model_version = serializers.IntegerField(
        source="live_number", allow_null=True, help_text="null: no model yet."
    )
    categories = serializers.SerializerMethodField()

    class Meta:
        model = Project
        fields = (
            "id",
            "slug",
            "name",
            "description",
            "modality",
            "model_version",
            "categories",
        )

    def get_categories(self, project: Project) -> list[str]:
        return [category.name for category in project.categories.all()]


class ScoreSerializer(serializers.Serializer):
    category = serializers.CharField()
    probability = serializers.FloatField(min_value=0, max_value=1)


class AnswerSerializer(serializers.ModelSerializer):
    """What the model says of a picture."""

    id = serializers.UUIDField(source="uuid")
    project = serializers.SlugField(source="project.slug")
    model_version = serializers.IntegerField(source="model_version.number")
    stood_in_for = serializers.IntegerField(
        source="stood_in_for.number",
        allow_null=True,
        help_text="The live version, where a local one answered in its place; otherwise null.",
    )
    predictions = serializers.SerializerMethodField(
        help_text="Every category, the most probable first."
    )
    latency_ms = serializers.SerializerMethodField()
    familiarity = serializers.FloatField(
        min_value=0,
        max_value=1,
        allow_null=True,
        help_text="Share of pictures known to be of these categories that look no more like what "
        "the model has "
        "learned; near 0, the picture is unlike anything learned. null: this model cannot tell.",
    )
    is_unfamiliar = serializers.BooleanField(
        help_text="The model abstained because the picture does not look like anything that it has "
        "learned."
    )

    class Meta:
        model = Prediction
        fields: tuple[str, ...] = (
            "id",
            "project",
            "model_version",
            "stood_in_for",
            "predictions",
            "latency_ms",
            "abstained",
            "familiarity",
            "is_unfamiliar",
        )

    @extend_schema_field(ScoreSerializer(many=True))
    def get_predictions(self, prediction: Prediction) -> list[dict[str, Any]]:
        return [{"category": name, "probability": value} for name, value in prediction.ranked]

    def get_latency_ms(self, prediction: Prediction) -> float:
        return round(prediction.latency_ms, 2)


def render_prediction(prediction: Prediction) -> dict[str, Any]:
    """Return what `AnswerSerializer` makes of a prediction."""
    # By hand in a tenth of its time: this is done for every picture.
    return {
        "id": str(prediction.uuid),
        "project": prediction.project.slug,
        "model_version": prediction.model_version.number,
        "stood_in_for": prediction.stood_in_for.number if prediction.stood_in_for else None,
        "predictions": [
            {"category": name, "probability": value} for name, value in prediction.ranked
        ],
        "latency_ms": round(prediction.latency_ms, 2),
        "abstained": prediction.abstained,
        "familiarity": prediction.familiarity,
        "is_unfamiliar": prediction.is_unfamiliar,
    }


class FeedbackSerializer(serializers.ModelSerializer):
    """A user's verdict."""

    category = serializers.SerializerMethodField(
        help_text="What the user says it is; null if not given."
    )

    class Meta:
        model = Feedback
        fields = ("verdict", "category", "created_at")

    def get_category(self, feedback: Feedback) -> str | None:
        return (feedback.category.name if feedback.category else feedback.suggestion) or None


class PredictionSerializer(AnswerSerializer):
    """A prediction as it is looked up later, with the user's verdict."""

    name = serializers.CharField(source="shown_name", help_text="The file's name, as it was sent.")
    capture = serializers.SerializerMethodField(
        help_text="The capture conditions of the picture, by their names: `camera`, `hour`, and "
        "those given with an upload."
    )
    feedback = serializers.SerializerMethodField()

    class Meta(AnswerSerializer.Meta):
        fields = (*AnswerSerializer.Meta.fields, "name", "created_at", "capture", "feedback")

    def get_capture(self, prediction: Prediction) -> dict[str, str]:
        return {each.name: each.value for each in prediction.sample.conditions.all()}

    @extend_schema_field(FeedbackSerializer(allow_null=True))
    def get_feedback(self, prediction: Prediction) -> Any:
        given = next(iter(prediction.own_feedback), None)  # type: ignore[attr-defined]
        return FeedbackSerializer(given).data if given else None


class PageSerializer(serializers.Serializer):
    """One page of predictions; `next` is the address of the next one, null at the end."""

    next = serializers.URLField(allow_null=True)
    results = PredictionSerializer(many=True)


class VerdictSerializer(serializers.Serializer):
    """A verdict on a prediction. `category` says what it really is; a name that is no category yet
    is a suggestion.
    """

    verdict = serializers.ChoiceField(Feedback.Verdict.values)
    category = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, max_length=MAX_NAME
    )


class TextSerializer(serializers.Serializer):
    """A text to classify, in a project of texts."""

    text = serializers.CharField(
        max_length=settings.TEXT_MAX_CHARACTERS,
        help_text="Plain text; its ends of line and composed characters are made the same.",
    )


class UploadSerializer(serializers.Serializer):
    """A picture as a form sends it."""

    file = serializers.FileField()
    group = serializers.CharField(
        required=False,
        max_length=MAX_GROUP_NAME,
        help_text="What the picture is of: a part, a board, a lot, a patient. Pictures of one "
        "group are either all trained on or all tested with.",
    )

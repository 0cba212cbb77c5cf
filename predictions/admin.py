"""The Django admin as a last resort: all can be looked at, and only options can be changed."""

from django.contrib import admin
from django.http import HttpRequest

from common.admin import ReadOnlyAdmin
from predictions.models import (
    Batch,
    Category,
    Feedback,
    ModelVersion,
    Prediction,
    Project,
    Promotion,
    Sample,
    Shadow,
    ShadowPrediction,
)


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):
    list_display = (
        "name",
        "slug",
        "retention",
        "test_time_augmentation",
        "abstain_below",
        "created_at",
    )
    prepopulated_fields = {"slug": ("name",)}
    search_fields = ("name", "slug")

    def has_delete_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False


@admin.register(Category)
class CategoryAdmin(ReadOnlyAdmin):
    list_display = ("name", "project", "created_at")
    list_filter = ("project",)
    search_fields = ("name",)


@admin.register(Sample)
class SampleAdmin(ReadOnlyAdmin):
    list_display = ("sha256", "project", "location", "origin", "media_type", "created_at")
    list_filter = ("project", "location", "origin")


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "predictor", "reference", "created_at")
    list_filter = ("project",)


@admin.register(Promotion)
class PromotionAdmin(ReadOnlyAdmin):
    list_display = ("model_version", "promoted_by", "reason", "created_at")
    list_filter = ("project",)


@admin.register(Shadow)
class ShadowAdmin(ReadOnlyAdmin):
    list_display = ("project", "model_version", "chosen_by", "created_at")
    list_filter = ("project",)


@admin.register(ShadowPrediction)
class ShadowPredictionAdmin(ReadOnlyAdmin):
    list_display = (
        "prediction",
        "model_version",
        "top",
        "confidence",
        "agrees",
        "error",
        "created_at",
    )
    list_filter = ("agrees",)


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    list_display = ("uuid", "project", "user", "created_at")


@admin.register(Prediction)
class PredictionAdmin(ReadOnlyAdmin):
    list_display = ("uuid", "project", "user", "top", "confidence", "latency_ms", "created_at")
    list_filter = ("project", "abstained")


@admin.register(Feedback)
class FeedbackAdmin(ReadOnlyAdmin):
    list_display = ("prediction", "user", "verdict", "category", "suggestion", "created_at")
    list_filter = ("verdict",)

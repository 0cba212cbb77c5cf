"""The admin pages of this room: for looking, never for changing. What they show is written by runs alone."""

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from training.models import DatasetVersion, Evaluation, ImportedImage, ImportedPrediction, ImportedProject, TrainingRun


class ReadOnlyAdmin(admin.ModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(TrainingRun)
class TrainingRunAdmin(ReadOnlyAdmin):
    list_display = ("pk", "project", "status", "trainer", "dataset", "model_version", "created_at")
    list_filter = ("status", "trainer", "project")
    list_select_related = ("project", "dataset__project", "model_version__project")


@admin.register(DatasetVersion)
class DatasetVersionAdmin(ReadOnlyAdmin):
    list_display = ("project", "number", "digest", "created_at")
    list_filter = ("project",)
    list_select_related = ("project",)


@admin.register(Evaluation)
class EvaluationAdmin(ReadOnlyAdmin):
    list_display = ("model_version", "dataset", "accuracy", "macro_f1", "skipped", "created_at")
    list_select_related = ("model_version__project", "dataset__project")
    exclude = ("answers",)


@admin.register(ImportedProject)
class ImportedProjectAdmin(ReadOnlyAdmin):
    list_display = ("name", "project", "endpoint", "finished_at")
    list_select_related = ("project",)
    exclude = ("access",)


@admin.register(ImportedImage)
class ImportedImageAdmin(ReadOnlyAdmin):
    list_display = ("remote_id", "imported", "sample", "problem", "seen_at")
    list_filter = ("imported",)
    list_select_related = ("imported", "sample")
    raw_id_fields = ("sample", "decision")


@admin.register(ImportedPrediction)
class ImportedPredictionAdmin(ReadOnlyAdmin):
    list_display = ("remote_id", "imported", "iteration", "sample", "predicted_at", "problem")
    list_filter = ("imported",)
    list_select_related = ("imported", "iteration", "sample")
    raw_id_fields = ("sample",)

"""Read-only admin pages of what was imported."""

from django.contrib import admin

from common.admin import ReadOnlyAdmin
from customvision.models import ImportedImage, ImportedPrediction, ImportedProject


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

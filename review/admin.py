from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from review.models import Decision


@admin.register(Decision)
class DecisionAdmin(admin.ModelAdmin):
    """Read-only: decisions are made on the review page, and never changed."""

    list_display = ("sample", "outcome", "category", "reviewer", "created_at")
    list_filter = ("outcome",)
    list_select_related = ("sample", "category", "reviewer")
    ordering = ("-pk",)
    show_full_result_count = False  # a count of the whole table takes seconds on a long one

    def get_queryset(self, request: HttpRequest) -> QuerySet[Decision]:
        return (
            super()
            .get_queryset(request)
            .select_related("prediction__model_version", "prediction__sample")
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Decision | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Decision | None = None) -> bool:
        return False

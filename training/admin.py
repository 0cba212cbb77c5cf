"""The admin pages of training, for looking only: what they show is written by runs alone."""

from django.contrib import admin

from common.admin import ReadOnlyAdmin
from training.models import (
    DatasetVersion,
    Evaluation,
    NeighbourSearch,
    NokReplay,
    TrainingPolicy,
    TrainingRun,
)


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
    # One entry per test picture: too long for a page
    exclude = ("answers",)


@admin.register(NokReplay)
class NokReplayAdmin(ReadOnlyAdmin):
    list_display = ("model_version", "sample", "answer", "is_right", "was_learned_from")
    list_filter = ("is_right", "was_learned_from")
    list_select_related = ("model_version__project", "sample", "answer")


@admin.register(TrainingPolicy)
class TrainingPolicyAdmin(ReadOnlyAdmin):
    list_display = (
        "project",
        "margin",
        "retrain_after_labels",
        "retrain_every_days",
        "retrain_on_drift",
    )
    list_select_related = ("project",)


@admin.register(NeighbourSearch)
class NeighbourSearchAdmin(ReadOnlyAdmin):
    list_display = ("prediction", "compared", "problem", "created_at")
    list_select_related = ("prediction__model_version__project", "prediction__sample")

from django.urls import path

from training.views import categories, conditions, known, models, options, pool, runs, shadow

app_name = "training"
urlpatterns = [
    path("", runs.overview, name="overview"),
    path("runs/<int:pk>/", runs.run, name="run"),
    path("runs/<int:pk>/progress/", runs.run_progress, name="run_progress"),
    path("runs/<int:pk>/cancel/", runs.cancel, name="cancel"),
    path("runs/<int:pk>/threshold/", runs.apply_threshold, name="use_threshold"),
    path("data-sets/<int:pk>/", runs.dataset, name="dataset"),
    path("model-versions/<int:pk>/promote/", models.promote, name="promote"),
    path("model-versions/<int:pk>/shadow/", shadow.start_shadow, name="start_shadow"),
    path("categories/<int:pk>/pictures/", categories.category_pictures, name="pictures"),
    path("categories/<int:pk>/rename/", categories.rename_category, name="rename"),
    path("<slug:slug>/", runs.project, name="project"),
    path("<slug:slug>/models/", models.model_versions, name="models"),
    path("<slug:slug>/shadow/", shadow.shadow, name="shadow"),
    path("<slug:slug>/shadow/stop/", shadow.stop_shadow, name="stop_shadow"),
    path("<slug:slug>/categories/", categories.categories, name="categories"),
    path("<slug:slug>/categories/known/", known.known_categories_page, name="known"),
    path("<slug:slug>/label/", pool.label_next, name="label_next"),
    path("<slug:slug>/label/undo/", pool.undo_labels, name="undo_labels"),
    path("<slug:slug>/label/rank/", pool.rank_pool, name="rank_pool"),
    path("<slug:slug>/label/progress/", pool.pool_progress, name="pool_progress"),
    path("<slug:slug>/label/add/", pool.add_unlabelled, name="add_unlabelled"),
    path("<slug:slug>/conditions/", conditions.conditions, name="conditions"),
    path("<slug:slug>/options/", options.options, name="options"),
]

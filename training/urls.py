from django.urls import path

from training.views import (
    categories,
    comparison,
    datasets,
    known,
    models,
    options,
    provenance,
    runs,
    shadow,
)

app_name = "training"
urlpatterns = [
    path("", runs.overview, name="overview"),
    path("runs/<int:pk>/", runs.run, name="run"),
    path("runs/<int:pk>/progress/", runs.run_progress, name="run_progress"),
    path("runs/<int:pk>/cancel/", runs.cancel, name="cancel"),
    path("runs/<int:pk>/repeat/", runs.repeat, name="repeat"),
    path("runs/<int:pk>/threshold/", runs.apply_threshold, name="use_threshold"),
    path("data-sets/<int:pk>/", datasets.dataset, name="dataset"),
    path("data-sets/<int:pk>/overruled/", provenance.overruled, name="overruled"),
    path("predictions/<uuid:uuid>/", provenance.origin, name="origin"),
    path("samples/<uuid:uuid>/", provenance.sample_uses, name="sample_uses"),
    path("samples/<uuid:uuid>/answers.csv", provenance.misled_answers, name="misled_answers"),
    path("model-versions/<int:pk>/promote/", models.promote, name="promote"),
    path("model-versions/<int:pk>/shadow/", shadow.start_shadow, name="start_shadow"),
    path("categories/<int:pk>/pictures/", categories.category_pictures, name="pictures"),
    path("categories/<int:pk>/rename/", categories.rename_category, name="rename"),
    path("<slug:slug>/", runs.project, name="project"),
    path("<slug:slug>/difference/", datasets.difference, name="difference"),
    path("<slug:slug>/compare/", comparison.compare, name="compare"),
    path("<slug:slug>/models/", models.model_versions, name="models"),
    path("<slug:slug>/shadow/", shadow.shadow, name="shadow"),
    path("<slug:slug>/shadow/stop/", shadow.stop_shadow, name="stop_shadow"),
    path("<slug:slug>/categories/", categories.categories, name="categories"),
    path("<slug:slug>/categories/known/", known.known_categories_page, name="known"),
    path("<slug:slug>/options/", options.options, name="options"),
]

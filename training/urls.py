from django.urls import path

from training.views import categories, known, labels, models, options, runs, shadow

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
    path("<slug:slug>/labels/", labels.doubtful_labels, name="labels"),
    path("<slug:slug>/labels/<int:pk>/", labels.judge_label, name="judge_label"),
    path("<slug:slug>/near-duplicates/", labels.twins, name="twins"),
    path("<slug:slug>/near-duplicates/<int:pk>/", labels.apart, name="apart"),
    path("<slug:slug>/agreement/", labels.reviewer_agreement, name="agreement"),
    path("<slug:slug>/options/", options.options, name="options"),
]

from django.urls import path

from training import category_views, model_views, option_views, shadow_views, views

app_name = "training"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("runs/<int:pk>/", views.run, name="run"),
    path("runs/<int:pk>/progress/", views.run_progress, name="run_progress"),
    path("runs/<int:pk>/cancel/", views.cancel, name="cancel"),
    path("runs/<int:pk>/threshold/", views.use_threshold, name="use_threshold"),
    path("data-sets/<int:pk>/", views.dataset, name="dataset"),
    path("model-versions/<int:pk>/promote/", model_views.promote, name="promote"),
    path("model-versions/<int:pk>/shadow/", shadow_views.start_shadow, name="start_shadow"),
    path("categories/<int:pk>/pictures/", category_views.pictures, name="pictures"),
    path("categories/<int:pk>/rename/", category_views.rename, name="rename"),
    path("<slug:slug>/", views.project, name="project"),
    path("<slug:slug>/models/", model_views.models, name="models"),
    path("<slug:slug>/shadow/", shadow_views.shadow, name="shadow"),
    path("<slug:slug>/shadow/stop/", shadow_views.stop_shadow, name="stop_shadow"),
    path("<slug:slug>/categories/", category_views.categories, name="categories"),
    path("<slug:slug>/options/", option_views.options, name="options"),
]

from django.urls import path

from predictions import explanation_views, media, views

app_name = "predictions"
urlpatterns = [
    path("projects/new", views.create_project, name="create_project"),
    path("projects/<slug:slug>/", views.upload, name="upload"),
    path("predictions/", views.show_history, name="history"),
    path("predictions/<uuid:uuid>/", views.detail, name="detail"),
    path("predictions/<uuid:uuid>/feedback/", views.give_feedback, name="feedback"),
    path("predictions/<uuid:uuid>/explanation/", explanation_views.explanation, name="explanation"),
    path("predictions/<uuid:uuid>/heat/", explanation_views.heat, name="heat"),
    path("batches/<uuid:uuid>/", views.batch, name="batch"),
    path("batches/<uuid:uuid>/go-on/", views.go_on, name="go_on"),
    path("samples/<uuid:uuid>/picture/", media.picture, name="picture"),
    path("samples/<uuid:uuid>/thumbnail/", media.thumbnail, name="thumbnail"),
]

from django.urls import path

from predictions.views import explanations, pages, pictures

app_name = "predictions"
urlpatterns = [
    path("projects/new", pages.create_project, name="create_project"),
    path("projects/<slug:slug>/", pages.upload, name="upload"),
    path("predictions/", pages.show_history, name="history"),
    path("predictions/<uuid:uuid>/", pages.detail, name="detail"),
    path("predictions/<uuid:uuid>/feedback/", pages.give_feedback, name="feedback"),
    path("predictions/<uuid:uuid>/explanation/", explanations.explanation, name="explanation"),
    path("predictions/<uuid:uuid>/heat/", explanations.heat, name="heat"),
    path("batches/<uuid:uuid>/", pages.batch, name="batch"),
    path("batches/<uuid:uuid>/go-on/", pages.go_on, name="go_on"),
    path("samples/<uuid:uuid>/picture/", pictures.picture, name="picture"),
    path("samples/<uuid:uuid>/thumbnail/", pictures.thumbnail, name="thumbnail"),
]

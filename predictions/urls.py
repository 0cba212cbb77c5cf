from django.urls import path

from predictions.views import explanations, pages, pictures

app_name = "predictions"
urlpatterns = [
    path("projects/new", pages.create_project, name="create_project"),
    path("projects/<slug:slug>/classify/", pages.upload, name="upload"),
    path("predictions/", pages.history, name="history"),
    path("predictions/<uuid:uuid>/", pages.prediction_detail, name="detail"),
    path("predictions/<uuid:uuid>/feedback/", pages.give_feedback, name="feedback"),
    path("predictions/<uuid:uuid>/explanation/", explanations.explanation, name="explanation"),
    path("predictions/<uuid:uuid>/heat/", explanations.heatmap, name="heat"),
    path("batches/<uuid:uuid>/", pages.batch_detail, name="batch"),
    path("batches/<uuid:uuid>/go-on/", pages.resume_batch, name="go_on"),
    path("samples/<uuid:uuid>/picture/", pictures.picture, name="picture"),
    path("samples/<uuid:uuid>/thumbnail/", pictures.thumbnail, name="thumbnail"),
]

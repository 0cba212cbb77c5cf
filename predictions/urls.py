from django.urls import path

from predictions.views import batches, explanations, pages, pictures

app_name = "predictions"
urlpatterns = [
    path("projects/<slug:slug>/classify/", pages.upload, name="upload"),
    path("projects/<slug:slug>/classify/batch/", batches.start_batch, name="start_batch"),
    path("predictions/", pages.history, name="history"),
    path("predictions/<uuid:uuid>/", pages.prediction_detail, name="detail"),
    path("predictions/<uuid:uuid>/feedback/", pages.give_feedback, name="feedback"),
    path("predictions/<uuid:uuid>/explanation/", explanations.explanation, name="explanation"),
    path("predictions/<uuid:uuid>/heat/", explanations.heatmap, name="heat"),
    path("batches/<uuid:uuid>/", batches.batch_detail, name="batch"),
    path("batches/<uuid:uuid>/files/", batches.add_file, name="add_file"),
    path("batches/<uuid:uuid>/verdicts/", batches.give_verdicts, name="verdicts"),
    path("batches/<uuid:uuid>/answers.csv", batches.batch_csv, name="batch_csv"),
    path("batches/<uuid:uuid>/go-on/", batches.resume_batch, name="go_on"),
    path("samples/<uuid:uuid>/picture/", pictures.picture, name="picture"),
    path("samples/<uuid:uuid>/thumbnail/", pictures.thumbnail, name="thumbnail"),
]

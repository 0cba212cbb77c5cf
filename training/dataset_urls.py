"""URLs of data sets that come from elsewhere, within a project."""

from django.urls import path

from training.views import imports

app_name = "datasets"
urlpatterns = [
    path("", imports.send_dataset, name="imports"),
    path("<int:pk>/", imports.import_page, name="import"),
    path("<int:pk>/take/", imports.take_dataset, name="take"),
    path("<int:pk>/discard/", imports.discard_dataset, name="discard"),
    path("<int:pk>/report.csv", imports.import_report, name="report"),
]

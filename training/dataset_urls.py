"""URLs of data sets that come from elsewhere, within a project."""

from django.urls import path

from training.views import imports

app_name = "datasets"
urlpatterns = [
    path("<slug:slug>/import/", imports.send_dataset, name="imports"),
    path("<slug:slug>/import/<int:pk>/", imports.import_page, name="import"),
    path("<slug:slug>/import/<int:pk>/preview/", imports.import_preview, name="preview"),
    path("<slug:slug>/import/<int:pk>/take/", imports.take_dataset, name="take"),
    path("<slug:slug>/import/<int:pk>/discard/", imports.discard_dataset, name="discard"),
    path("<slug:slug>/import/<int:pk>/report.csv", imports.import_report, name="report"),
]

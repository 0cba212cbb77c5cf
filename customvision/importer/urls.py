from django.urls import path

from customvision.importer import views

app_name = "importer"
urlpatterns = [
    path("custom-vision/", views.import_start, name="import_start"),
    path("custom-vision/<uuid:uuid>/", views.choose_projects, name="choose_projects"),
    path("<int:pk>/", views.import_detail, name="import_detail"),
    path("<int:pk>/progress/", views.import_progress, name="import_progress"),
    path("<int:pk>/cancel/", views.cancel_import, name="cancel_import"),
]

"""URLs of a new project's steps."""

from django.urls import path

from classifr.new_project import views

app_name = "new_project"
urlpatterns = [
    path("new", views.name, name="name"),
    path("<slug:slug>/new/pictures/", views.pictures, name="pictures"),
    path("<slug:slug>/new/train/", views.train, name="train"),
    path("<slug:slug>/new/try/", views.try_it, name="try"),
]

"""URLs of the Custom Vision compatible server, which clients write in any case of letters."""

from django.urls import path, re_path

from customvision.api import container, dispatch, exports, picture_links
from customvision.exported import views

app_name = "customvision"
_IN_ANY_CASE = "".join(f"[{letter}{letter.upper()}]" for letter in "customvision")
# Double slashes: SDKs join the endpoint and the path with one of their own
_REST = r"/+[vV](?P<version>[^/]+)/+(?P<area>[^/]+)/+(?P<path>.*)"
# What exported containers answer: with a project in front, with the address of an iteration, or
# with neither
_CONTAINER = r"(?:[^/]+/(?:classify/iterations/[^/]+/)?)?"
urlpatterns = [
    path("customvision/pictures/<str:token>", picture_links.serve_picture, name="picture"),
    path("customvision/exports/<str:token>", exports.download_export, name="export"),
    path("training/<slug:slug>/models/import/", views.import_model, name="import_model"),
    re_path(
        rf"^{_CONTAINER}image(?:/nostore)?$",
        container.classify_image,
        name="container_image",
    ),
    re_path(rf"^{_CONTAINER}url(?:/nostore)?$", container.classify_url, name="container_url"),
    re_path(rf"^[/]*{_IN_ANY_CASE}{_REST}$", dispatch.dispatch, name="answer"),
]

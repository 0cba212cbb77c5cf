"""Addresses of the Custom Vision compatible server, as its clients write them: in any case, with
double slashes.
"""

from django.urls import path, re_path

from customvision.api import dispatch, exports, picture_links

app_name = "customvision"
_IN_ANY_CASE = "".join(f"[{letter}{letter.upper()}]" for letter in "customvision")
_REST = r"/+[vV](?P<version>[^/]+)/+(?P<area>[^/]+)/+(?P<path>.*)"
urlpatterns = [
    path("customvision/pictures/<str:token>", picture_links.serve_picture, name="picture"),
    path("customvision/exports/<str:token>", exports.download_export, name="export"),
    re_path(rf"^[/]*{_IN_ANY_CASE}{_REST}$", dispatch.dispatch, name="answer"),
]

from django.urls import path

from review import views

app_name = "review"
urlpatterns = [
    path("", views.queue_page, name="queue"),
    path("waiting/<slug:slug>/", views.waiting_count, name="waiting"),
    path("history/", views.history, name="history"),
    path("undo/", views.undo, name="undo"),
    path("unskip/", views.unskip, name="unskip"),
    path("samples/<uuid:uuid>/", views.sample_detail, name="sample"),
    path("samples/<uuid:uuid>/decide/", views.decide, name="decide"),
    path("samples/<uuid:uuid>/renew/", views.renew_lease, name="renew"),
    path("samples/<uuid:uuid>/leave/", views.release_lease, name="leave"),
]

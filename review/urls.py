from django.urls import path

from review import views

app_name = "review"
urlpatterns = [
    path("", views.queue_page, name="queue"),
    path("waiting/<slug:slug>/", views.waiting_count, name="waiting"),
    path("more/", views.more_cards, name="more"),
    path("renew/", views.renew_leases, name="renew"),
    path("leave/", views.release_leases, name="leave"),
    path("history/", views.history, name="history"),
    path("undo/", views.undo, name="undo"),
    path("unskip/", views.unskip, name="unskip"),
    path("samples/<uuid:uuid>/", views.sample_detail, name="sample"),
    path("samples/<uuid:uuid>/decide/", views.decide, name="decide"),
    path("samples/<uuid:uuid>/heat/", views.heatmap, name="heat"),
]

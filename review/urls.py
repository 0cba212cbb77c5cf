from django.urls import path

from review import views

app_name = "review"
urlpatterns = [
    path("", views.show_queue, name="queue"),
    path("history/", views.show_history, name="history"),
    path("undo/", views.undo, name="undo"),
    path("unskip/", views.unskip, name="unskip"),
    path("samples/<uuid:uuid>/", views.show_sample, name="sample"),
    path("samples/<uuid:uuid>/decide/", views.decide, name="decide"),
    path("samples/<uuid:uuid>/renew/", views.renew, name="renew"),
    path("samples/<uuid:uuid>/leave/", views.leave, name="leave"),
]

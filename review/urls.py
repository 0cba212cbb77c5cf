from django.urls import path

from review.views import cards, groups

app_name = "review"
urlpatterns = [
    path("", cards.queue_page, name="queue"),
    path("waiting/<slug:slug>/", cards.waiting_count, name="waiting"),
    path("alike/", groups.groups_page, name="alike"),
    path("alike/decide/", groups.decide_group, name="decide_group"),
    path("alike/undo/", groups.undo_group, name="undo_group"),
    path("more/", cards.more_cards, name="more"),
    path("renew/", cards.renew_leases, name="renew"),
    path("leave/", cards.release_leases, name="leave"),
    path("history/", cards.history, name="history"),
    path("undo/", cards.undo, name="undo"),
    path("unskip/", cards.unskip, name="unskip"),
    path("samples/<uuid:uuid>/", cards.sample_detail, name="sample"),
    path("samples/<uuid:uuid>/decide/", cards.decide, name="decide"),
    path("samples/<uuid:uuid>/heat/", cards.heatmap, name="heat"),
]

"""Every address of the site, by app."""

from allauth.account.decorators import secure_admin_login
from django.apps import apps
from django.contrib import admin
from django.urls import include, path

from classifr import background, health, themes, views
from classifr.gallery import views as gallery_views
from classifr.metrics import views as metrics_views
from classifr.overview import views as overview_views

# The admin's own log-in knows no rate limit and no second factor
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

# The wall of Custom Vision can lose its importer: then nothing is left but the line in the settings
# that names it
IMPORTER = (
    [path("training/imports/", include("customvision.importer.urls"))]
    if apps.is_installed("customvision.importer")
    else []
)

urlpatterns = [
    path("api/v1/", include("classifr.api")),  # first, as programs ask more often than people
    path("", views.home, name="home"),
    path("help/", views.help_page, name="help"),
    path("theme/", themes.choose_theme, name="theme"),
    path("demo/drawings/<uuid:uuid>/", views.demo_drawing, name="demo_drawing"),
    path("background/", background.show_trouble, name="background"),
    path("background/<int:pk>/again/", background.try_again, name="background_again"),
    path("projects/", include("classifr.new_project.urls")),
    path("projects/", include("training.dataset_urls")),
    path("projects/<slug:slug>/", overview_views.overview, name="overview"),
    path("projects/<slug:slug>/card/", overview_views.card, name="project_card"),
    path("projects/<slug:slug>/samples/", gallery_views.samples, name="samples"),
    path("projects/<slug:slug>/samples/count/", gallery_views.sample_count, name="sample_count"),
    path(
        "projects/<slug:slug>/samples/views/", gallery_views.view_counts, name="sample_view_counts"
    ),
    path("projects/<slug:slug>/samples/act/", gallery_views.act, name="samples_act"),
    path(
        "projects/<slug:slug>/samples/acts/<uuid:batch>/",
        gallery_views.progress,
        name="act_progress",
    ),
    path(
        "projects/<slug:slug>/samples/acts/<uuid:batch>/undo/", gallery_views.undo, name="act_undo"
    ),
    path("projects/<slug:slug>/samples/<uuid:uuid>/", gallery_views.sample, name="gallery_sample"),
    path("projects/<slug:slug>/samples/<uuid:uuid>/heat/", gallery_views.heat, name="sample_heat"),
    path("", include("notifications.urls")),
    path("account/", include("accounts.urls")),
    path("account/", include("allauth.urls")),
    path("", include("predictions.urls")),
    path("review/", include("review.urls")),
    *IMPORTER,  # before the pages of training, which take any slug
    path("training/", include("training.urls")),
    path("", include("customvision.urls")),
    path("admin/", admin.site.urls),
    path("language/", include("django.conf.urls.i18n")),
    path("healthz", health.liveness, name="healthz"),
    path("metrics", metrics_views.metrics, name="metrics"),
    path("readyz", health.readiness, name="readyz"),
]

handler404 = "classifr.views.page_not_found"
handler403 = "classifr.views.permission_denied"
handler400 = "classifr.views.bad_request"
handler500 = "classifr.views.server_error"

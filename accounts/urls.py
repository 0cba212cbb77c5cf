from django.urls import path

from accounts import users_views, views

app_name = "accounts"
urlpatterns = [
    path("", views.profile, name="profile"),
    path("tokens/", views.create_token, name="create_token"),
    path("tokens/<slug:token_key>/revoke/", views.revoke_token, name="revoke_token"),
    path("invitation/<str:token>/", views.open_invitation, name="invitation"),
    path("users/", users_views.users, name="users"),
    path("users/<int:pk>/role/", users_views.change_role, name="change_role"),
    path("users/<int:pk>/deactivate/", users_views.deactivate, name="deactivate"),
    path("users/<int:pk>/reactivate/", users_views.reactivate, name="reactivate"),
    path("invitations/", users_views.invite, name="invite"),
    path("invitations/<int:pk>/resend/", users_views.resend_invitation, name="resend_invitation"),
    path("invitations/<int:pk>/revoke/", users_views.revoke_invitation, name="revoke_invitation"),
]

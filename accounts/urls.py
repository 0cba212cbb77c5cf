from django.urls import path

from accounts.views import profile, users

app_name = "accounts"
urlpatterns = [
    path("", profile.profile, name="profile"),
    path("tokens/", profile.create_token, name="create_token"),
    path("tokens/<slug:token_key>/revoke/", profile.revoke_token, name="revoke_token"),
    path("invitation/<str:token>/", profile.accept_invitation, name="invitation"),
    path("users/", users.user_list, name="users"),
    path("users/<int:pk>/role/", users.change_role, name="change_role"),
    path("users/<int:pk>/deactivate/", users.deactivate, name="deactivate"),
    path("users/<int:pk>/reactivate/", users.reactivate, name="reactivate"),
    path("invitations/", users.invite_user, name="invite"),
    path("invitations/<int:pk>/resend/", users.resend_invitation, name="resend_invitation"),
    path("invitations/<int:pk>/revoke/", users.revoke_invitation, name="revoke_invitation"),
]

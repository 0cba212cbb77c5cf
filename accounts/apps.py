from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from accounts import checks, roles  # noqa: F401 (registers the system checks)

        # Permissions exist only after the last migrate signal of their app, so roles are filled in
        # then.
        post_migrate.connect(roles.sync_role_groups, dispatch_uid="accounts.roles")

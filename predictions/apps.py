from django.apps import AppConfig


class PredictionsConfig(AppConfig):
    name = "predictions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from accounts import directory_groups
        from predictions import checks, members  # noqa: F401 (registers the system checks)

        directory_groups.register(members.apply_directory_roles)

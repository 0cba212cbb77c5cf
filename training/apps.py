from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "training"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from training import checks, holds, likeness  # noqa: F401 (registers the system checks, what keeps a picture, and vectors)

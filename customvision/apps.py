from django.apps import AppConfig


class CustomVisionConfig(AppConfig):
    name = "customvision"
    label = "customvision"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from customvision import belongings, checks, holds, panels  # noqa: F401 (register what is checked, deleted, kept and shown on pages)

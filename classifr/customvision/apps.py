from django.apps import AppConfig


class CustomVisionConfig(AppConfig):
    name = "classifr.customvision"
    label = "customvision"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from classifr.customvision import holds  # noqa: F401 (registers what keeps a picture)

from django.apps import AppConfig


class CustomVisionConfig(AppConfig):
    name = "customvision"
    label = "customvision"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from customvision import holds  # noqa: F401 (registers what keeps a picture)

from django.apps import AppConfig


class CustomVisionConfig(AppConfig):
    name = "customvision"
    label = "customvision"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from customvision import checks, holds, panels  # noqa: F401 (register what is checked, what keeps a picture, and what pages show)

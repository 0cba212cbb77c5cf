from django.apps import AppConfig


class ClassifrConfig(AppConfig):
    name = "classifr"

    def ready(self) -> None:
        from classifr import checks  # noqa: F401 (registers the system checks)

from django.apps import AppConfig


class CustomVisionImporterConfig(AppConfig):
    """An app without models: its line in the settings brings its pages, command and jobs."""

    name = "customvision.importer"
    label = "customvision_importer"

    def ready(self) -> None:
        from customvision.importer import panels  # noqa: F401 (registers its places on the training pages)

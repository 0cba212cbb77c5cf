from django.apps import AppConfig


class CustomVisionImporterConfig(AppConfig):
    """An app without models: with its line in the settings, its pages, command and jobs come and
    go.
    """

    name = "customvision.importer"
    label = "customvision_importer"

    def ready(self) -> None:
        from customvision.importer import panels  # noqa: F401 (registers its places on the training pages)

"""What the training pages show of Custom Vision, whether anything was imported from it or not."""

from django.http import HttpRequest
from django.template.loader import render_to_string

from predictions.models import Project
from training import panels
from training.models import TrainingRun


@panels.project_panel
def client_settings(request: HttpRequest, project: Project) -> str:
    """Say how programs made for Custom Vision use this project."""
    return render_to_string("customvision/_connect.html", {"project": project}, request)


@panels.run_panel
def service_figures(request: HttpRequest, run: TrainingRun) -> str:
    """Show what the service reported of a model that it trained; the manifest keeps it when the
    service has ended.
    """
    reported = run.model_version.manifest.get("custom_vision") if run.model_version else None
    if not reported:
        return ""
    return render_to_string("customvision/_custom_vision.html", {"said": reported}, request)

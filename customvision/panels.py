"""Panels on the training pages that do not depend on the importer."""

from django.http import HttpRequest
from django.template.loader import render_to_string

from accounts import roles
from accounts.permissions import authenticated_user
from predictions.models import Project
from training import panels
from training.models import TrainingRun


@panels.project_panel
def client_settings(request: HttpRequest, project: Project) -> str:
    """Show how programs written for Custom Vision connect to this project; they send pictures."""
    if project.is_of_texts:
        return ""
    return render_to_string("customvision/_connect.html", {"project": project}, request)


@panels.models_panel
def model_import_link(request: HttpRequest, project: Project) -> str:
    """Show where a model that Custom Vision exported can be sent; it takes pictures."""
    if project.is_of_texts or not authenticated_user(request).has_perm(roles.PROMOTE):
        return ""
    return render_to_string("customvision/_model_import_link.html", {"project": project}, request)


@panels.run_panel
def service_figures(request: HttpRequest, run: TrainingRun) -> str:
    """Show the metrics that the service reported for a model it trained."""
    # From the manifest, so that they can be read after the service has ended
    reported = run.model_version.manifest.get("custom_vision") if run.model_version else None
    if not reported:
        return ""
    return render_to_string("customvision/_custom_vision.html", {"said": reported}, request)

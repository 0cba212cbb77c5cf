"""What the training pages show of projects that were imported from Custom Vision."""

from django.http import HttpRequest
from django.template.loader import render_to_string

from customvision.importer import service_comparison
from customvision.models import ImportedProject
from predictions.models import Project
from training import panels
from training.models import Evaluation, TrainingRun


@panels.overview_panel
def import_link(request: HttpRequest) -> str:
    return render_to_string("customvision/_import_link.html", request=request)


@panels.project_panel
def iteration_history(request: HttpRequest, project: Project) -> str:
    """Show the imported iterations, as history."""
    imported = ImportedProject.objects.filter(project=project).select_related("job").first()
    if imported is None:
        return ""
    return render_to_string("customvision/_history.html", {"imported": imported}, request)


@panels.run_panel
def comparison(request: HttpRequest, run: TrainingRun) -> str:
    """Show a run's metrics beside those that Custom Vision reported for its newest iteration."""
    own = Evaluation.objects.filter(dataset=run.dataset, model_version=run.model_version_id).first()
    found = service_comparison.compare_with_service(own) if own else None
    if found is None:
        return ""
    return render_to_string(
        "customvision/_comparison.html", {"comparison": found, "own": own}, request
    )

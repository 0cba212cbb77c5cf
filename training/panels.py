"""Places on the training pages that upper apps may fill.

A panel registers itself when its app is ready; the page prints what it gives and knows none by
name, just as `predictions.holds` asks conditions that it does not know.

    # customvision/importer/panels.py, which the app's ready() imports
    @panels.run_panel
    def comparison(request: HttpRequest, run: TrainingRun) -> str: ...
"""

from collections.abc import Callable, Iterable

from django.http import HttpRequest
from django.utils.safestring import SafeString, mark_safe

from predictions.models import Project
from training.models import TrainingRun

OverviewPanel = Callable[[HttpRequest], str]
ProjectPanel = Callable[[HttpRequest, Project], str]
RunPanel = Callable[[HttpRequest, TrainingRun], str]

_overview: list[OverviewPanel] = []
_project: list[ProjectPanel] = []
_run: list[RunPanel] = []
_models: list[ProjectPanel] = []


def overview_panel(panel: OverviewPanel) -> OverviewPanel:
    """Register what stands above the list of projects; "" shows nothing."""
    _overview.append(panel)
    return panel


def project_panel(panel: ProjectPanel) -> ProjectPanel:
    """Register what stands below the runs of a project."""
    _project.append(panel)
    return panel


def run_panel(panel: RunPanel) -> RunPanel:
    """Register what stands below the figures of a run."""
    _run.append(panel)
    return panel


def models_panel(panel: ProjectPanel) -> ProjectPanel:
    """Register what stands below the model versions of a project."""
    _models.append(panel)
    return panel


def render_overview_panels(request: HttpRequest) -> SafeString:
    return _joined(panel(request) for panel in _overview)


def render_project_panels(request: HttpRequest, project: Project) -> SafeString:
    return _joined(panel(request, project) for panel in _project)


def render_run_panels(request: HttpRequest, run: TrainingRun) -> SafeString:
    return _joined(panel(request, run) for panel in _run)


def render_models_panels(request: HttpRequest, project: Project) -> SafeString:
    return _joined(panel(request, project) for panel in _models)


def _joined(parts: Iterable[str]) -> SafeString:
    return mark_safe("".join(parts))  # noqa: S308 (each part is a rendered template)

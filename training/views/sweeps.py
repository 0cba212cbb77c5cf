"""The pages about sweeps, for maintainers: ask for one, watch it, promote one of its models."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import roles
from accounts.permissions import authenticated_user, may
from common.errors import DomainError
from common.htmx import HtmxRequest
from predictions import registry
from predictions.models import Project
from training.forms import SweepForm
from training.models import Sweep, TrainingRun
from training.runs import sweeps

SHOWN = 50


@require_http_methods(["GET", "HEAD", "POST"])
@may(roles.TRAIN)
def start_sweep(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask for a sweep; list the earlier ones."""
    project = get_object_or_404(Project, slug=slug)
    form = SweepForm(request.POST or None, project=project)
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                sweep = sweeps.submit_sweep(project, form.options(), by=authenticated_user(request))
            except DomainError as error:
                form.add_error(None, str(error))
                status = error.status
            else:
                return redirect("training:sweep", sweep.pk)
    context = {
        "project": project,
        "form": form,
        "most_runs": sweeps.MOST_RUNS,
        "sweeps": project.sweeps.select_related("dataset", "requested_by")[:SHOWN],
    }
    return render(request, "training/start_sweep.html", context, status=status)


@require_GET
@may(roles.TRAIN)
def sweep(request: HtmxRequest, pk: int) -> HttpResponse:
    """Show the runs of a sweep with their figures; while it is under way, the table asks again."""
    found = get_object_or_404(
        Sweep.objects.select_related("project", "dataset", "requested_by"), pk=pk
    )
    results = sweeps.sweep_results(found)
    context = {
        "sweep": found,
        "project": found.project,
        "results": results,
        "configurations": sweeps.summarize_configurations(results),
        "live": registry.live_version(found.project),
        "under_way": sweeps.is_under_way(found),
    }
    template = "training/_sweep.html" if request.htmx else "training/sweep.html"
    return render(request, template, context)


@require_POST
@may(roles.TRAIN)
def cancel_sweep(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Sweep, pk=pk)
    sweeps.cancel_sweep(found)
    messages.info(request, _("The sweep is being cancelled."))
    return redirect("training:sweep", found.pk)


@require_POST
@may(roles.PROMOTE)
def promote_by_gate(request: HttpRequest, pk: int) -> HttpResponse:
    """Promote the model of a run if the gate passes."""
    run = get_object_or_404(
        TrainingRun.objects.select_related("project", "dataset", "model_version__project"), pk=pk
    )
    outcome = sweeps.promote_by_gate(run, by=authenticated_user(request))
    (messages.success if outcome.promoted else messages.warning)(request, outcome.sentence)
    if run.sweep_id:
        return redirect("training:sweep", run.sweep_id)
    return redirect("training:run", run.pk)

"""The pages about runs and data sets; for maintainers."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import roles
from accounts.models import User
from accounts.permissions import authenticated_user, may
from common.errors import DomainError
from common.models import Job
from predictions import registry
from predictions.models import Project
from training import panels, plots
from training.data import datasets
from training.evaluation import evaluations, out_of_distribution, selective
from training.forms import StartRunForm
from training.models import DatasetVersion, Evaluation, TrainingRun, TrainingRunQuerySet
from training.runs import execution, submission
from training.templatetags.training_tags import two_places

RUNS_SHOWN = 50


@require_GET
@may(roles.TRAIN)
def overview(request: HttpRequest) -> HttpResponse:
    """Show every project with its live model and its newest run."""
    rows = [
        {"project": project, "live": registry.live_version(project), "run": project.runs.first()}
        for project in Project.objects.all()
    ]
    context = {
        "rows": rows,
        "panels": panels.render_overview_panels(request),
        "trouble": Job.objects.in_trouble().exists(),
    }
    return render(request, "training/overview.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@may(roles.TRAIN)
def project(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the runs of a project, the one under way first; start one."""
    found = get_object_or_404(Project, slug=slug)
    form = StartRunForm(request.POST or None, project=found)
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                started = _start(found, form.cleaned_data, authenticated_user(request))
            except DomainError as error:
                form.add_error(None, str(error))
                status = error.status
            else:
                messages.success(
                    request, _("Run %(number)d is waiting for a worker.") % {"number": started.pk}
                )
                return redirect("training:run", started.pk)
    context = {
        "project": found,
        "form": form,
        "active": _runs().filter(project=found).active().first(),
        "runs": _runs().filter(project=found)[:RUNS_SHOWN],
        "datasets": found.datasets.all()[:RUNS_SHOWN],
        "live": registry.live_version(found),
        "panels": panels.render_project_panels(request, found),
    }
    return render(request, "training/project.html", context, status=status)


@require_GET
@may(roles.TRAIN)
def run(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a run: how far it is, or what came of it, beside the live model on the same test
    pictures.

    The model that is live itself stands beside the one that was live before.
    """
    found = get_object_or_404(_runs(), pk=pk)
    live = registry.live_version(found.project)
    measured = _measured(found.dataset)
    own = measured.get(found.model_version_id or 0)
    other = (
        registry.previous_version(found.project)
        if live and live.pk == found.model_version_id
        else live
    )
    beside = measured.get(other.pk) if other else None
    context: dict[str, Any] = {
        "run": found,
        "project": found.project,
        "live": live,
        "own": own,
        "beside": beside,
        "beside_is_live": other == live,
        "rows": metric_rows(own, beside) if own else [],
        "panels": panels.render_run_panels(request, found),
        "accuracy": [
            evaluations.metric_intervals(each)[1] if each else None for each in (own, beside)
        ],
        "charts": plots.training_charts(found.curves),
        "reliability": plots.reliability_diagram(own.calibration["bins"])
        if own and own.calibration
        else None,
        "proposals": selective.stored_proposals(found),
        "unfamiliar": out_of_distribution.rejection_shares(found),
        "matrix": plots.confusion_matrix_chart(own.confusion["names"], own.confusion["matrix"])
        if own and not own.is_multilabel
        else None,
    }
    return render(request, "training/run.html", context)


@require_GET
@may(roles.TRAIN)
def run_progress(request: HttpRequest, pk: int) -> HttpResponse:
    """Answer the page's question how far a run is; once it has ended, have the page loaded
    again.
    """
    found = get_object_or_404(_runs(), pk=pk)
    if not found.is_active:
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    return render(request, "training/_progress.html", {"run": found})


@require_POST
@may(roles.TRAIN)
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(_runs(), pk=pk)
    execution.cancel_run(found)
    messages.info(request, _("Run %(number)d is being cancelled.") % {"number": found.pk})
    return redirect("training:run", found.pk)


@require_POST
@may(roles.MANAGE_CATEGORIES)
def apply_threshold(request: HttpRequest, pk: int) -> HttpResponse:
    """Have the project abstain below the threshold that this run proposed."""
    found = get_object_or_404(_runs(), pk=pk)
    threshold = selective.apply_threshold(found, request.POST.get("wanted", ""))
    sentence = _("“%(project)s” abstains below %(threshold)s from now on.")
    messages.success(
        request, sentence % {"project": found.project.name, "threshold": two_places(threshold)}
    )
    return redirect("training:run", found.pk)


@require_GET
@may(roles.TRAIN)
def dataset(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what a data set version holds, and what changed since the one before."""
    found = get_object_or_404(DatasetVersion.objects.select_related("project", "created_by"), pk=pk)
    earlier = datasets.previous_version(found)
    counts = datasets.category_counts(found)
    context = {
        "dataset": found,
        "project": found.project,
        "rows": [
            (name, [splits[split] for split in datasets.Split.values])
            for name, splits in counts.items()
        ],
        "totals": datasets.split_totals(found),
        "vectors_only": datasets.count_vectors_only(found),
        "left_out": datasets.left_out_sentences(found),
        "earlier": earlier,
        "diff": datasets.diff_versions(earlier, found) if earlier else None,
        "runs": found.runs.select_related("model_version"),
    }
    return render(request, "training/dataset.html", context)


def metric_rows(own: Evaluation, beside: Evaluation | None) -> list[dict[str, Any]]:
    """Return a row per category: this model's figures and their intervals, and the other
    model's.
    """
    rows = []
    known = [
        (each.per_category, evaluations.metric_intervals(each)[0]) for each in (own, beside) if each
    ]
    for name in own.per_category:
        models = [
            {**stored.get(name, {}), "between": between.get(name, {})} for stored, between in known
        ]
        rows.append({"name": name, "own": models[0], "beside": models[1] if beside else None})
    return rows


def _start(project: Project, wanted: dict[str, Any], by: User) -> TrainingRun:
    if wanted["promote"] and not by.has_perm(roles.PROMOTE):
        raise PermissionDenied
    options = submission.RunOptions(
        backbone=wanted["backbone"],
        seed=wanted["seed"],
        fine_tune=wanted.get("fine_tune", False),
        promote=wanted["promote"],
    )
    return submission.submit_run(project, options, by=by)


def _runs() -> TrainingRunQuerySet:
    return TrainingRun.objects.select_related(
        "project", "dataset", "model_version", "job", "requested_by"
    )


def _measured(dataset: DatasetVersion) -> dict[int, Evaluation]:
    evaluations = dataset.evaluations.select_related("model_version", "dataset").defer("answers")
    return {each.model_version_id: each for each in evaluations}

"""The pages about runs; for maintainers."""

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import roles
from accounts.permissions import authenticated_user, may
from common.csv_lines import csv_lines, inert
from common.errors import DomainError
from common.models import Job
from predictions import project_access, registry, shadow_deployment
from predictions.models import ModelVersion, Project
from training import evaluation_plots, panels, plots
from training.evaluation import (
    by_condition,
    evaluations,
    nok_replay,
    out_of_distribution,
    selective,
)
from training.evaluation.counts import CategoryCounts
from training.forms import StartRunForm
from training.models import Evaluation, TrainingRun, TrainingRunQuerySet
from training.runs import execution, outlook, promotion, reproduction, stages, story, submission
from training.templatetags.training_tags import two_places

RUNS_SHOWN = 50


@require_GET
@may(roles.TRAIN)
def overview(request: HttpRequest) -> HttpResponse:
    """Show every project with its live model and its newest run."""
    own = project_access.within(authenticated_user(request), roles.TRAIN, "pk")
    rows = [
        {"project": project, "live": registry.live_version(project), "run": project.runs.first()}
        for project in Project.objects.filter(own, archived_at=None)
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
            wanted, user = form.cleaned_data, authenticated_user(request)
            # The permission to train is none to promote
            if wanted["promote"] and not user.has_perm(roles.PROMOTE):
                raise PermissionDenied
            options = submission.RunOptions(
                backbone=wanted["backbone"],
                seed=wanted["seed"],
                fine_tune=wanted.get("fine_tune", False),  # not every trainer offers it
                promote=wanted["promote"],
            )
            try:
                started = submission.submit_run(found, options, by=user)
            except DomainError as error:
                form.add_error(None, str(error))
                status = error.status
            else:
                _say_that_it_waits(request, started)
                return redirect("training:run", started.pk)
    active = _runs().filter(project=found).active().first()
    context = {
        "project": found,
        "form": form,
        "active": active,
        "stages": stages.stages_of(active) if active else [],
        "runs": _runs().filter(project=found)[:RUNS_SHOWN],
        "datasets": found.datasets.all()[:RUNS_SHOWN],
        "live": registry.live_version(found),
        "outlook_run": outlook.newest_with_outlook(found),
        "panels": panels.render_project_panels(request, found),
    }
    return render(request, "training/project.html", context, status=status)


@require_GET
@may(roles.VIEW_MODELS)
def run(request: HttpRequest, pk: int) -> HttpResponse:
    """Show how far a run is, or its story: verdict, figures beside another model's, evidence."""
    training_run = get_object_or_404(_runs(), pk=pk)
    live = registry.live_version(training_run.project)
    measured = {
        each.model_version_id: each
        for each in training_run.dataset.evaluations.select_related(
            "model_version", "dataset"
        ).defer("answers")
    }
    own = measured.get(training_run.model_version_id or 0)
    beside = _compared_with(training_run, measured, live)
    matrix = own.confusion if own and not own.is_multilabel else None
    context: dict[str, Any] = {
        "run": training_run,
        "project": training_run.project,
        "stages": stages.stages_of(training_run),
        "live": live,
        "shadow": shadow_deployment.shadow_version(training_run.project),
        "by_hand": promotion.promoted_by_hand(training_run),
        "own": own,
        "beside": beside,
        "beside_is_live": bool(beside and live and beside.model_version_id == live.pk),
        "story": story.tell_story(own, beside) if own else None,
        "mistakes": story.find_mistakes(own, beside, request.GET.get("mistakes", ""))
        if own
        else None,
        "rows": metric_rows(own, beside) if own else [],
        "panels": panels.render_run_panels(request, training_run),
        "replays": nok_replay.count_replays(training_run.model_version)
        if training_run.model_version
        else None,
        "accuracy": [
            evaluations.metric_intervals(each)[1] if each else None for each in (own, beside)
        ],
        "reproduction": reproduction.compare_with_repeated(training_run),
        "charts": plots.training_charts(training_run.curves),
        "conditions": by_condition.accuracy_by_condition(own) if own else [],
        "proposals": selective.stored_proposals(training_run),
        "unfamiliar": out_of_distribution.rejection_shares(training_run),
        # Those measured before say nothing of which sample is in which cell
        "linked_evaluation": own if own and "mistakes" in own.confusion else None,
        "matrix": evaluation_plots.confusion_table(matrix["names"], matrix["matrix"])
        if matrix
        else None,
        "precision_recall": evaluation_plots.precision_recall_chart(own.thresholds)
        if own
        else None,
    }
    if own and own.calibration:
        bins = own.calibration["bins"]
        threshold = training_run.project.abstain_below if live == own.model_version else None
        context |= {
            "reliability": plots.reliability_diagram(bins),
            "coverage": evaluation_plots.coverage_chart(bins, threshold),
        }
    return render(request, "training/run.html", context)


@require_GET
@may(roles.VIEW_MODELS)
def run_progress(request: HttpRequest, pk: int) -> HttpResponse:
    """Answer how far a run is; once it has ended, have the page loaded again."""
    training_run = get_object_or_404(_runs(), pk=pk)
    if not training_run.is_active:
        # With 204 htmx swaps nothing; the header has it load the page again
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    context = {"run": training_run, "stages": stages.stages_of(training_run)}
    return render(request, "training/_progress.html", context)


@require_GET
@may(roles.VIEW_MODELS)
def matrix(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Serve the whole confusion matrix of the model of a run, however many categories it has."""
    training_run = get_object_or_404(_runs(), pk=pk)
    own = training_run.dataset.evaluations.filter(
        model_version__isnull=False, model_version=training_run.model_version_id
    ).first()
    if own is None or own.is_multilabel:
        raise Http404
    names, counts = own.confusion["names"], own.confusion["matrix"]
    rows = ((name, *row) for name, row in zip(names, counts, strict=True))
    # Names of categories are what people typed, in the heading as well
    heading = [str(inert(name)) for name in names]
    response = StreamingHttpResponse(csv_lines(["", *heading], rows), content_type="text/csv")
    name = f"{training_run.project.slug}-run-{training_run.number}-matrix.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@require_POST
@may(roles.TRAIN)
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    training_run = get_object_or_404(_runs(), pk=pk)
    execution.cancel_run(training_run)
    sentence = _("Run %(number)d is being cancelled.")
    messages.info(request, sentence % {"number": training_run.number})
    return redirect("training:run", training_run.pk)


@require_POST
@may(roles.TRAIN)
def repeat(request: HttpRequest, pk: int) -> HttpResponse:
    """Train again as a run did, to see whether the same model comes out."""
    training_run = get_object_or_404(_runs(), pk=pk)
    again = submission.submit_run(
        training_run.project,
        submission.options_of(training_run),
        by=authenticated_user(request),
    )
    _say_that_it_waits(request, again)
    return redirect("training:run", again.pk)


@require_POST
@may(roles.MANAGE_CATEGORIES)
def apply_threshold(request: HttpRequest, pk: int) -> HttpResponse:
    """Have the project abstain below a threshold that this run proposed, or that somebody chose."""
    training_run = get_object_or_404(_runs(), pk=pk)
    if "threshold" in request.POST:
        threshold = selective.choose_threshold(training_run, request.POST["threshold"])
    else:
        threshold = selective.apply_threshold(training_run, request.POST.get("wanted", ""))
    sentence = _("“%(project)s” abstains below %(threshold)s from now on.")
    messages.success(
        request,
        sentence % {"project": training_run.project.name, "threshold": two_places(threshold)},
    )
    return redirect("training:run", training_run.pk)


def metric_rows(own: Evaluation, beside: Evaluation | None) -> list[dict[str, Any]]:
    """Return a row per category: this model's figures with intervals, and the other model's.

    What is new comes first, then what lost most.
    """
    rows = []
    figures = [
        (each.per_category, evaluations.metric_intervals(each)[0], _found(each))
        for each in (own, beside)
        if each
    ]
    for name in own.per_category:
        models = [
            {
                **stored.get(name, {}),
                "between": between.get(name, {}),
                "found": found.get(name),
            }
            for stored, between, found in figures
        ]
        other = models[1] if beside else None
        more = None
        if other and models[0]["found"] is not None:
            more = models[0]["found"] - (other["found"] or 0)
        rows.append({"name": name, "own": models[0], "beside": other, "more": more})
    if beside:
        new = promotion.newly_known_categories(own.model_version, beside.model_version)
        for row in rows:
            row["is_new"] = row["name"] in new
        rows.sort(key=lambda row: (not row["is_new"], row["more"] or 0, row["name"]))
    return rows


def _found(evaluation: Evaluation) -> dict[str, int]:
    """Return how many pictures of each category a model names rightly."""
    counts = CategoryCounts.of_stored(evaluation.confusion)
    return dict(zip(evaluation.confusion["names"], counts.hits.tolist(), strict=True))


def _compared_with(
    training_run: TrainingRun, measured: Mapping[int, Evaluation], live: ModelVersion | None
) -> Evaluation | None:
    """Return the evaluation of the model that a run's model stands beside.

    The live one; where it is live itself, the one before. Where neither was measured on this data
    set, the newest older one that was: the one that was live then.
    """
    own = training_run.model_version
    if own is None:
        return None
    other = registry.previous_version(training_run.project) if live == own else live
    if other and other.pk in measured:
        return measured[other.pk]
    older = [each for each in measured.values() if each.model_version.number < own.number]
    return max(older, key=lambda each: each.model_version.number, default=None)


def _say_that_it_waits(request: HttpRequest, waiting: TrainingRun) -> None:
    sentence = _("Run %(number)d was asked for.")
    messages.success(request, sentence % {"number": waiting.number})


def _runs() -> TrainingRunQuerySet:
    return TrainingRun.objects.select_related(
        "project", "dataset", "model_version", "job", "requested_by", "repeats__model_version"
    )

"""The pages about model versions, for maintainers: figures, and which version is live."""

from django.contrib import messages
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts import roles
from accounts.permissions import authenticated_user, may
from common.errors import DomainError
from common.htmx import HtmxRequest
from predictions import registry, shadow_deployment
from predictions.models import ModelVersion, Project
from training import evaluation_plots, model_downloads, panels
from training.evaluation import shadow_comparison, version_history
from training.evaluation.significance import wilson_interval
from training.forms import PromoteForm
from training.models import Evaluation
from training.runs import promotion

SHOWN = 100
CHARTED = 8


@require_GET
@may(roles.VIEW_MODELS)
def model_versions(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the model versions of a project with their figures, and who promoted what, and why."""
    project = get_object_or_404(Project, slug=slug)
    versions = list(project.model_versions.select_related("run__dataset")[:SHOWN])
    live, shadow = registry.live_version(project), shadow_deployment.shadow_version(project)
    # By version; of several evaluations the one on the newest data set comes last, and stays
    measured = {
        evaluation.model_version_id: evaluation
        for evaluation in Evaluation.objects.filter(model_version__in=versions)
        .select_related("dataset", "model_version__project")
        .defer("answers", "confusion", "calibration", "thresholds")
        .order_by("dataset__number")
    }
    charted = [each.pk for each in versions if each.pk in measured][:CHARTED]
    if live and live.pk in measured and live.pk not in charted:
        charted = [*charted[:-1], live.pk]
    answers = (
        Evaluation.objects.filter(pk__in=[measured[key].pk for key in charted])
        .select_related("model_version")
        .only("answers", "model_version__number")
    )
    history = version_history.compare_versions(list(answers))
    against_live = history.points_against(live.pk if live else 0)
    was_live = set(project.promotions.values_list("model_version", flat=True))
    compared = None
    if shadow and (against := shadow_comparison.live_version_during(shadow)):
        compared = shadow_comparison.compare_shadow(shadow, against)
    context = {
        "project": project,
        "live": live,
        "live_since": registry.newest_promotion(project),
        "live_figures": measured.get(live.pk) if live else None,
        "shadow": shadow,
        "compared": compared,
        "history": history,
        "chart": evaluation_plots.versions_chart(
            history.versions, live=live.pk if live else 0, shadow=shadow.pk if shadow else 0
        ),
        "rows": [
            {
                "version": version,
                "figures": measured.get(version.pk),
                "between": _between(measured.get(version.pk)),
                "more": against_live.get(version.pk),
                "was_live": version.pk in was_live,
            }
            for version in versions
        ],
        "promotions": project.promotions.select_related("model_version", "promoted_by").order_by(
            "-id"
        )[:SHOWN],
        "panels": panels.render_models_panels(request, project),
    }
    return render(request, "training/models.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@may(roles.PROMOTE)
def downloads(request: HtmxRequest, pk: int) -> HttpResponse:
    """Show in which formats a model version can be had; have one made."""
    version = get_object_or_404(ModelVersion.objects.select_related("project"), pk=pk)
    if request.method == "POST":
        model_downloads.request_download(version, request.POST.get("format", ""))
        return redirect("training:downloads", version.pk)
    found = model_downloads.downloads_of(version)
    context = {
        "version": version,
        "project": version.project,
        "downloads": found,
        "is_active": any(each.is_active for each in found),
    }
    template = "_downloads" if request.htmx else "downloads"
    return render(request, f"training/{template}.html", context)


@require_GET
@may(roles.PROMOTE)
def download(request: HttpRequest, pk: int, alias: str) -> FileResponse:
    """Serve the file of a model version."""
    version = get_object_or_404(ModelVersion.objects.select_related("project"), pk=pk)
    file = model_downloads.open_download(version, alias)
    name = f"{version.project.slug}-v{version.number}-{alias}.zip"
    response = FileResponse(file, as_attachment=True, filename=name)
    response["Content-Type"] = "application/zip"
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@may(roles.PROMOTE)
def promote(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for the reason, then make this version live; rolling back is the same."""
    version = get_object_or_404(ModelVersion.objects.select_related("project"), pk=pk)
    form = PromoteForm(request.POST or None)
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                promotion.promote_version(
                    version, by=authenticated_user(request), reason=form.cleaned_data["reason"]
                )
            except DomainError as error:
                form.add_error(None, str(error))
                status = error.status
            else:
                messages.success(
                    request, _("Version %(number)d is live now.") % {"number": version.number}
                )
                return redirect("training:models", version.project.slug)
    live = registry.live_version(version.project)
    context = {
        "version": version,
        "project": version.project,
        "live": live,
        "form": form,
        # Back to what has answered before
        "is_roll_back": version != live
        and version.project.promotions.filter(model_version=version).exists(),
    }
    return render(request, "training/promote.html", context, status=status)


def _between(figures: Evaluation | None) -> tuple[float, float] | None:
    """Return the interval around an accuracy; None where pictures show several categories."""
    if figures is None or figures.model_version.project.multilabel:
        return None
    count = sum(each["support"] for each in figures.per_category.values())
    return wilson_interval(round(figures.accuracy * count), count)

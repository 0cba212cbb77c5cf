"""The page about the model in shadow: how it compares with the live one, and the switch."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts import roles
from accounts.permissions import authenticated_user, may
from common.errors import DomainError
from predictions import registry, shadow_deployment
from predictions.models import ModelVersion, Project
from training import plots
from training.evaluation import shadow_comparison


@require_GET
@may(roles.PROMOTE)
def shadow(request: HttpRequest, slug: str) -> HttpResponse:
    """Show how the model in shadow, or the one that was there last, compares with the live one."""
    project = get_object_or_404(Project, slug=slug)
    current, live = shadow_deployment.shadow_version(project), registry.live_version(project)
    version = shadow_deployment.last_shadow_version(project)
    against = shadow_comparison.live_version_during(version) if version else None
    context: dict[str, Any] = {
        "project": project,
        "live": live,
        "current": current,
        "version": version,
        "against": against,
        "candidates": project.model_versions.exclude(
            pk__in=[each.pk for each in (current, live) if each]
        )[:20],
    }
    if version and against:
        comparison = shadow_comparison.compare_shadow(version, against)
        context |= {
            "found": comparison,
            "tallies": [
                (_("Users' verdicts"), comparison.by_verdicts),
                (_("Reviewers' decisions"), comparison.by_decisions),
                (_("Both together"), comparison.together),
            ],
            "matrix": plots.confusion_matrix_chart(comparison.names, comparison.counts)
            if comparison.compared
            else None,
            "differences": shadow_comparison.disagreements(
                version, against, request.GET.get("before", "")
            ),
            "is_first_page": not request.GET.get("before"),
        }
    return render(request, "training/shadow.html", context)


@require_POST
@may(roles.PROMOTE)
def start_shadow(request: HttpRequest, pk: int) -> HttpResponse:
    """Run this version in shadow from the next upload on, instead of any other."""
    version = get_object_or_404(ModelVersion.objects.select_related("project"), pk=pk)
    try:
        shadow_deployment.start_shadow(version, by=authenticated_user(request))
    except DomainError as error:
        messages.error(request, str(error))
    else:
        sentence = _("Version %(number)d runs in shadow from the next upload on.")
        messages.success(request, sentence % {"number": version.number})
    return redirect("training:shadow", version.project.slug)


@require_POST
@may(roles.PROMOTE)
def stop_shadow(request: HttpRequest, slug: str) -> HttpResponse:
    project = get_object_or_404(Project, slug=slug)
    try:
        shadow_deployment.stop_shadow(project, by=authenticated_user(request))
    except DomainError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("No model runs in shadow any more."))
    return redirect("training:shadow", project.slug)

"""The page on which maintainers see how well it goes by camera, line, hour and day."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from accounts import roles
from accounts.permissions import may
from predictions import registry
from predictions.models import Project
from training.evaluation import by_condition


@require_GET
@may(roles.TRAIN)
def conditions(request: HttpRequest, slug: str) -> HttpResponse:
    """Show how often users said OK, and the live model was right, under each capture condition."""
    project = get_object_or_404(Project, slug=slug)
    live = registry.live_version(project)
    newest = live.evaluations.order_by("-pk").select_related("dataset").first() if live else None
    context = {
        "project": project,
        "live": live,
        "evaluation": newest,
        "said": by_condition.ok_by_condition(project),
        "days": by_condition.ok_by_day(project),
        "tested": by_condition.accuracy_by_condition(newest) if newest else [],
        "recent": by_condition.RECENT,
    }
    return render(request, "training/conditions.html", context)

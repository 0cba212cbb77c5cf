"""The page on which two runs stand side by side; for maintainers."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from accounts import roles
from accounts.permissions import may
from common.numbers import natural_number
from predictions.models import Project
from training import plots
from training.data import dataset_diff
from training.evaluation import run_comparison
from training.models import TrainingRun
from training.views.datasets import BROKE, FIXED


@require_GET
@may(roles.TRAIN)
def compare(request: HttpRequest, slug: str) -> HttpResponse:
    """Show two runs beside each other: parameters, figures, curves, pictures that tell them apart.

    The older one is first, whichever was ticked first.
    """
    project = get_object_or_404(Project, slug=slug)
    keys = [natural_number(text) or 0 for text in request.GET.getlist("run")]
    found = list(
        project.runs.filter(pk__in=keys, status=TrainingRun.Status.SUCCEEDED)
        .select_related("project", "dataset__project", "model_version__project", "requested_by")
        .order_by("pk")
    )
    if len(found) != 2:
        messages.warning(request, _("Choose two runs that have made a model."))
        return redirect("training:project", project.slug)
    first, second = found
    comparison = run_comparison.compare_runs(first, second)
    context: dict[str, Any] = {
        "project": project,
        "first_run": first,
        "second_run": second,
        "comparison": comparison,
        "charts": plots.overlaid_charts(
            [(_("Run %(number)d") % {"number": run.number}, run.curves) for run in found]
        ),
    }
    if pair := comparison.pair:
        kind = BROKE if request.GET.get("kind") == BROKE else FIXED
        after = natural_number(request.GET.get("after", ""))
        flips = {FIXED: pair.fixed, BROKE: pair.broke}
        page = dataset_diff.sample_page(
            pair.first.dataset, pair.second.dataset, flips[kind], after=after
        )
        chosen = [("run", first.pk), ("run", second.pk)]
        query = urlencode([*chosen, ("kind", kind)])
        context |= {
            "kind": kind,
            "tabs": [
                (FIXED, _("Only the second is right"), len(pair.fixed)),
                (BROKE, _("Only the first is right"), len(pair.broke)),
            ],
            "base_query": urlencode(chosen),
            "rows": [(row, kind) for row in page.rows],
            "first": f"{query}#pictures" if after is not None else "",
            "following": f"{query}&after={page.next_key}#pictures" if page.next_key else "",
        }
    return render(request, "training/compare.html", context)

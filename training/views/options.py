"""The page with a project's options; for maintainers."""

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts import roles
from accounts.permissions import may
from predictions.models import Project
from training.evaluation import selective
from training.forms import OptionsForm, PolicyForm
from training.models import TrainingPolicy


@require_http_methods(["GET", "HEAD", "POST"])
@may(roles.MANAGE_CATEGORIES)
def options(request: HttpRequest, slug: str) -> HttpResponse:
    """Show and save the options; the next prediction follows them already."""
    project = get_object_or_404(Project, slug=slug)
    form = OptionsForm(request.POST or None, instance=project)
    policy = PolicyForm(request.POST or None, instance=TrainingPolicy.of(project))
    # Both are asked, so that both say what is wrong
    if request.method == "POST" and all([form.is_valid(), policy.is_valid()]):
        with transaction.atomic():
            form.save()
            policy.save()
        messages.success(request, _("The options were saved."))
        return redirect("training:options", project.slug)
    project.refresh_from_db()  # the heading keeps the saved name while the form shows a refused one
    run = selective.run_of_live_version(project)
    context = {
        "project": project,
        "form": form,
        "policy": policy,
        "live_run": run,
        "proposals": selective.usable_proposals(run),
    }
    return render(
        request,
        "training/options.html",
        context,
        status=400 if form.errors or policy.errors else 200,
    )

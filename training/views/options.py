"""The page with a project's options, and with its end: archived, or deleted; for maintainers."""

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts import roles
from accounts.permissions import may
from common.errors import DomainError
from predictions import projects
from predictions.models import Project
from training.evaluation import selective
from training.forms import OptionsForm, PolicyForm
from training.lifecycle import project_deletion
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
    status = 400 if form.errors or policy.errors else 200
    return _options_page(request, project, form, policy, status=status)


@require_POST
@may(roles.MANAGE_CATEGORIES)
def archive(request: HttpRequest, slug: str) -> HttpResponse:
    project = get_object_or_404(Project, slug=slug)
    projects.archive_project(project)
    sentence = _("“%(name)s” is archived. All of it stays; it takes nothing new.")
    messages.success(request, sentence % {"name": project.name})
    return redirect("training:options", project.slug)


@require_POST
@may(roles.MANAGE_CATEGORIES)
def restore(request: HttpRequest, slug: str) -> HttpResponse:
    project = get_object_or_404(Project, slug=slug)
    projects.restore_project(project)
    messages.success(request, _("“%(name)s” is back.") % {"name": project.name})
    return redirect("training:options", project.slug)


@require_POST
@may(roles.MANAGE_CATEGORIES)
def delete_project(request: HttpRequest, slug: str) -> HttpResponse:
    """Delete a project whose name was typed; a refusal stands below the field."""
    project = get_object_or_404(Project, slug=slug)
    typed = request.POST.get("name", "")
    try:
        project_deletion.delete_named_project(project, typed=typed)
    except DomainError as error:
        form, policy = (
            OptionsForm(instance=project),
            PolicyForm(instance=TrainingPolicy.of(project)),
        )
        return _options_page(
            request, project, form, policy, status=error.status, refused=str(error), typed=typed
        )
    sentence = _("“%(name)s” is being deleted, with everything in it.")
    messages.success(request, sentence % {"name": project.name})
    return redirect("home")


def _options_page(
    request: HttpRequest,
    project: Project,
    form: OptionsForm,
    policy: PolicyForm,
    *,
    status: int,
    refused: str = "",
    typed: str = "",
) -> HttpResponse:
    run = selective.run_of_live_version(project)
    context = {
        "project": project,
        "form": form,
        "policy": policy,
        "live_run": run,
        "proposals": selective.usable_proposals(run),
        "refused": refused,
        "typed": typed,
    }
    return render(request, "training/options.html", context, status=status)

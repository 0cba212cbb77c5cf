"""The steps of a new project, for maintainers; each can be left and taken up again."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts import roles
from accounts.permissions import authenticated_user, may
from classifr.new_project.checklist import can_be_trained, category_sizes
from common.errors import DomainError, InvalidInput
from predictions import projects, registry
from predictions.modalities import modalities
from predictions.models import Project
from training.data import dataset_import, sent_datasets
from training.data.datasets import MIN_PICTURES
from training.models import DatasetImport, TrainingRun
from training.runs import submission


@require_http_methods(["GET", "HEAD", "POST"])
@may(roles.MANAGE_CATEGORIES)
def name(request: HttpRequest) -> HttpResponse:
    """Ask for the name and the kind; with them the project exists."""
    error: DomainError | None = None
    if request.method == "POST":
        try:
            project = projects.create_project(
                request.POST.get("name", ""),
                modality=request.POST.get("modality") or Project.Modality.IMAGE,
            )
            return redirect("new_project:pictures", project.slug)
        except DomainError as refused:
            error = refused
    context = {
        "step": "name",
        "typed": request.POST.get("name", ""),
        "modality": request.POST.get("modality") or Project.Modality.IMAGE,
        "error": error,
    }
    return render(request, "new_project/name.html", context, status=error.status if error else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@may(roles.MANAGE_CATEGORIES)
def pictures(request: HttpRequest, slug: str) -> HttpResponse:
    """Offer the ways to bring samples, and show what came; take or leave what was found."""
    project = get_object_or_404(Project, slug=slug)
    if request.method == "POST":
        sent = get_object_or_404(_sent(project), pk=_number(request.POST.get("import", "")))
        if "take" in request.POST:
            try:
                sent_datasets.request_import(sent, _names(request, sent))
            except InvalidInput as error:
                messages.error(request, str(error))
        else:
            sent_datasets.discard(sent)
        return redirect("new_project:pictures", project.slug)
    newest = _sent(project).first()
    sizes = category_sizes(project)
    context = _context(project, "pictures") | {
        "kept": newest if newest and (newest.is_active or newest.awaits_a_word) else None,
        "last": newest,
        "split_sentence": dataset_import.split_sentence((newest.found or {}).get("splits", {}))
        if newest
        else "",
        "failure": newest.job.error if newest and newest.job and not newest.found else "",
        "sizes": sizes,
        "total": sum(each.count for each in sizes),
        "can_train": can_be_trained(sizes),
        "fewest": MIN_PICTURES,
        "most_bytes": sent_datasets.most_bytes(),
        "most_megabytes": sent_datasets.most_bytes() // 1_000_000,
    }
    return render(request, "new_project/pictures.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@may(roles.TRAIN)
def train(request: HttpRequest, slug: str) -> HttpResponse:
    """Start the first run and show how far it is; when its model is live, go on to try it."""
    project = get_object_or_404(Project, slug=slug)
    error: DomainError | None = None
    if request.method == "POST":
        user = authenticated_user(request)
        options = submission.RunOptions(promote=user.has_perm(roles.PROMOTE))
        try:
            submission.submit_run(project, options, by=user)
            return redirect("new_project:train", project.slug)
        except DomainError as refused:
            error = refused
    elif registry.live_version(project):
        return redirect("new_project:try", project.slug)
    sizes = category_sizes(project)
    context = _context(project, "train") | {
        "run": TrainingRun.objects.filter(project=project).select_related("job").first(),
        "sizes": sizes,
        "can_train": can_be_trained(sizes),
        "error": error,
    }
    return render(request, "new_project/train.html", context, status=error.status if error else 200)


@require_safe
@may(roles.MANAGE_CATEGORIES)
def try_it(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask the new model about a first sample."""
    project = get_object_or_404(Project, slug=slug)
    live = registry.live_version(project)
    if live is None:
        messages.info(request, _("No model is live yet. Train one first."))
        return redirect("new_project:train", project.slug)
    modality = modalities[project.modality]
    context = _context(project, "try") | {
        "live": live,
        "form_template": f"predictions/{modality.alias}/_upload_form.html",
        "written": "",
        **modality.context(),
    }
    return render(request, "new_project/try.html", context)


def _context(project: Project, step: str) -> dict[str, Any]:
    return {"project": project, "step": step}


def _sent(project: Project) -> Any:
    return DatasetImport.objects.filter(project=project).select_related("job", "project")


def _names(request: HttpRequest, sent: DatasetImport) -> dict[str, str]:
    """Return under which name each category that was found is to be taken; "": not at all."""
    names = {}
    for place, (category, _count) in enumerate((sent.found or {}).get("taken", [])):
        if f"name-{place}" in request.POST:
            wanted = f"take-{place}" in request.POST
            names[category] = request.POST[f"name-{place}"].strip() or category if wanted else ""
    return names


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0

"""The pages on which maintainers send a data set, see what was found in it, and have it taken."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import roles
from accounts.permissions import authenticated_user, may
from common.errors import DomainError
from common.htmx import HtmxRequest
from common.media.upload_handlers import takes_longer_files
from common.models import Job
from predictions.models import Project
from training.data import dataset_import, formats, sent_datasets
from training.forms import DatasetForm
from training.models import DatasetImport

SHOWN = 20


@require_http_methods(["GET", "HEAD", "POST"])
@may(roles.MANAGE_CATEGORIES)
@takes_longer_files(sent_datasets.most_bytes, sent_datasets.too_large)
def send_dataset(request: HttpRequest, slug: str) -> HttpResponse:
    """Take a data set in for the worker to look through; list what was sent before."""
    project = get_object_or_404(Project, slug=slug)
    form, status = DatasetForm(project=project), 200
    if request.method == "POST":
        form, status = DatasetForm(request.POST, request.FILES, project=project), 400
        if form.is_valid():
            data = form.cleaned_data
            try:
                kept = sent_datasets.keep_dataset(
                    project,
                    data["dataset"],
                    data["labels"],
                    by=authenticated_user(request),
                    alias=data["format"],
                    sub_folders_are_groups=data.get("sub_folders_are_groups", False),
                )
                return redirect("datasets:import", project.slug, kept.pk)
            except DomainError as error:
                form.add_error("dataset", str(error))
                status = error.status
    context = {
        "project": project,
        "form": form,
        "imports": _imports(project)[:SHOWN],
        "most_megabytes": sent_datasets.most_bytes() // 1_000_000,
    }
    return render(request, "training/import.html", context, status=status)


@never_cache
@require_GET
@may(roles.MANAGE_CATEGORIES)
def import_page(request: HtmxRequest, slug: str, pk: int) -> HttpResponse:
    """Show how far a data set is, what was found in it, or what became of it."""
    kept = _kept(slug, pk)
    context = {"kept": kept, "project": kept.project, "told": kept.newest}
    if request.htmx:
        # The whole page changes when it has ended, so htmx is told to load it again
        if not kept.is_active:
            return HttpResponse(status=204, headers={"HX-Refresh": "true"})
        return render(request, "training/_import_progress.html", context)
    return render(request, "training/import_detail.html", context | _words(kept))


@require_GET
@may(roles.MANAGE_CATEGORIES)
def import_preview(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Serve some pictures of a category that was found, side by side."""
    strip = sent_datasets.preview_of(_kept(slug, pk), request.GET.get("category", ""))
    response = HttpResponse(strip, content_type="image/jpeg")
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, max-age=3600"
    return response


@require_POST
@may(roles.MANAGE_CATEGORIES)
def take_dataset(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Have a data set taken whose content was seen."""
    kept = _kept(slug, pk)
    sent_datasets.request_import(kept)
    return redirect("datasets:import", kept.project.slug, kept.pk)


@require_POST
@may(roles.MANAGE_CATEGORIES)
def discard_dataset(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Forget a data set, or stop what is under way with it."""
    kept = _kept(slug, pk)
    was_taken = kept.is_active and kept.found is not None
    sent_datasets.discard(kept)
    sentence = _("“%(name)s” is not imported.")
    if was_taken:
        sentence = _("The import of “%(name)s” is being cancelled. What was imported stays.")
    messages.info(request, sentence % {"name": kept.name})
    return redirect("datasets:imports", kept.project.slug)


@require_GET
@may(roles.MANAGE_CATEGORIES)
def import_report(request: HttpRequest, slug: str, pk: int) -> FileResponse:
    """Serve what became of each file, as CSV."""
    file = sent_datasets.open_report(_kept(slug, pk))
    response = FileResponse(file, as_attachment=True, filename=f"{slug}-import-{pk}.csv")
    response["Content-Type"] = "text/csv; charset=utf-8"
    return response


def _imports(project: Project) -> QuerySet[DatasetImport]:
    return project.dataset_imports.select_related("job", "requested_by")


def _kept(slug: str, pk: int) -> DatasetImport:
    project = get_object_or_404(Project, slug=slug)
    return get_object_or_404(_imports(project).select_related("project"), pk=pk)


def _words(kept: DatasetImport) -> dict[str, Any]:
    """Return what a page says in words of what was found."""
    told = kept.newest or {}
    format_ = formats.FORMATS.get(kept.format)
    is_failed = kept.job is not None and kept.job.status == Job.Status.FAILED
    return {
        "format": format_.title if format_ else "",
        "split_sentence": dataset_import.split_sentence(told.get("splits", {})),
        "failure": kept.job.error if kept.job and is_failed else "",
        "skipped": sum(
            told.get(name, 0) for name in ("there", "contradicting", "unreadable", "refused")
        ),
    }

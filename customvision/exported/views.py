"""The page on which a maintainer sends an exported model."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts import roles
from accounts.permissions import authenticated_user, may
from common.errors import DomainError
from common.htmx import HtmxRequest
from common.media.upload_handlers import takes_longer_files
from common.models import Job
from customvision.exported import archive, model_import
from customvision.exported.forms import ModelArchiveForm
from predictions.models import Project


@require_http_methods(["GET", "HEAD", "POST"])
@may(roles.PROMOTE)
@takes_longer_files(lambda: archive.MAX_ARCHIVE_BYTES, archive.archive_too_large)
def import_model(request: HtmxRequest, slug: str) -> HttpResponse:
    """Take an archive in for the worker; show how the newest import is doing."""
    project = get_object_or_404(Project, slug=slug)
    newest = model_import.newest_import(project)
    is_active = bool(newest and newest.status in (Job.Status.WAITING, Job.Status.RUNNING))
    context = {"project": project, "newest": newest, "is_active": is_active}
    if request.htmx:
        # The whole page changes when it has ended, so htmx is told to load it again
        if not is_active:
            return HttpResponse(status=204, headers={"HX-Refresh": "true"})
        return render(request, "customvision/_model_import.html", context)
    form, status = ModelArchiveForm(), 200
    if request.method == "POST":
        form, status = ModelArchiveForm(request.POST, request.FILES), 400
        if form.is_valid():
            try:
                model_import.request_import(
                    project,
                    form.cleaned_data["archive"],
                    promote=form.cleaned_data["promote"],
                    by=authenticated_user(request),
                )
            except DomainError as error:
                form.add_error("archive", str(error))
                status = error.status
            else:
                messages.info(request, _("The model is being checked and imported."))
                return redirect("customvision:import_model", project.slug)
    return render(
        request, "customvision/model_import.html", context | {"form": form}, status=status
    )

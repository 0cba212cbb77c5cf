"""The pages that import projects from Custom Vision; for maintainers."""

from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import roles
from accounts.permissions import authenticated_user, may
from common.errors import DomainError
from customvision.importer import import_jobs
from customvision.importer.forms import ChooseProjectsForm, ServiceAccessForm
from customvision.models import ImportedProject, ServiceAccess
from predictions import project_access

ASK_SECONDS = 10.0  # somebody waits for the page
IMPORTS_SHOWN = 50


@sensitive_post_parameters("key")
@require_http_methods(["GET", "HEAD", "POST"])
@may(roles.MANAGE_CATEGORIES)
def import_start(request: HttpRequest) -> HttpResponse:
    """Accept endpoint and key of a resource; list what was imported."""
    form = ServiceAccessForm(request.POST or None)
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                access = import_jobs.store_access(
                    form.cleaned_data["endpoint"],
                    form.cleaned_data["key"],
                    by=authenticated_user(request),
                )
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                return redirect("importer:choose_projects", access.uuid)
    own = project_access.within(authenticated_user(request), roles.MANAGE_CATEGORIES)
    imports = _imports().filter(own)[:IMPORTS_SHOWN]
    return render(
        request, "customvision/import_start.html", {"form": form, "imports": imports}, status=status
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may(roles.MANAGE_CATEGORIES)
def choose_projects(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Show the projects of a resource to the user who gave its key; import the chosen ones."""
    # `given_by`: the key of one maintainer does not show the projects to another
    access = get_object_or_404(ServiceAccess, uuid=uuid, given_by=authenticated_user(request))
    try:
        found = import_jobs.open_service(access, patience_seconds=ASK_SECONDS).projects()
    except DomainError as error:
        access.delete()
        messages.error(request, str(error))
        return redirect("importer:import_start")
    form = ChooseProjectsForm(request.POST or None, projects=found)
    if request.method != "POST" or not form.is_valid():
        context = {"form": form, "access": access, "found": found}
        return render(
            request,
            "customvision/choose_projects.html",
            context,
            status=400 if form.errors else 200,
        )
    asked = []
    for one in form.chosen:
        try:
            asked.append(
                import_jobs.request_import(
                    access,
                    one,
                    with_predictions=form.cleaned_data["with_predictions"],
                    by=authenticated_user(request),
                )
            )
        except DomainError as error:
            messages.warning(request, str(error))
    return (
        redirect("importer:import_detail", asked[0].pk)
        if len(asked) == 1
        else redirect("importer:import_start")
    )


@require_GET
@may(roles.MANAGE_CATEGORIES)
def import_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the progress of an import, or its report."""
    return render(
        request,
        "customvision/import_detail.html",
        {"imported": get_object_or_404(_imports(), pk=pk)},
    )


@require_GET
@may(roles.MANAGE_CATEGORIES)
def import_progress(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the progress part of an import's page."""
    found = get_object_or_404(_imports(), pk=pk)
    # The whole page changes when it has ended, so htmx is told to load it again
    if not found.is_active:
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    return render(request, "customvision/_import_progress.html", {"imported": found})


@require_POST
@may(roles.MANAGE_CATEGORIES)
def cancel_import(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(_imports(), pk=pk)
    import_jobs.cancel_import(found)
    messages.info(
        request,
        _("The import of “%(name)s” is being cancelled. What was imported stays.")
        % {"name": found.name},
    )
    return redirect("importer:import_detail", found.pk)


def _imports() -> QuerySet[ImportedProject]:
    return ImportedProject.objects.select_related("project", "job", "requested_by")

"""The page on which maintainers choose categories that are known beforehand."""

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from accounts import roles
from accounts.permissions import may
from common.errors import DomainError
from predictions import registry
from predictions.models import Project
from training.backbones import imagenet_classes
from training.data import known_categories
from training.forms import KnownForm
from training.runs import known_model


@require_http_methods(["GET", "HEAD", "POST"])
@may(roles.MANAGE_CATEGORIES)
def known_categories_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the categories that are known beforehand; add those that are chosen."""
    project = get_object_or_404(Project, slug=slug)
    form = KnownForm(request.POST if request.method == "POST" else None)
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                _add(project, form.cleaned_data["classes"], form.cleaned_data["name"])
                messages.success(request, _next_step(project))
                return redirect("training:categories", project.slug)
            except DomainError as error:
                form.add_error(None, str(error))
                status = error.status
    search = request.GET.get("search", "")
    names = imagenet_classes.class_names()
    chosen = set(request.POST.getlist("classes"))
    taken = {
        number: category
        for category, classes in known_categories.known_classes(project).items()
        for number in classes
    }
    rows = [
        {
            "number": number,
            "name": names[number][0],
            "others": names[number][1:],
            "category": taken.get(number),
            "chosen": str(number) in chosen,
        }
        for number in imagenet_classes.search_classes(search)
    ]
    context = {"project": project, "form": form, "rows": rows, "search": search}
    return render(request, "training/known.html", context, status=status)


@transaction.atomic
def _add(project: Project, classes: list[int], name: str) -> None:
    if name:
        known_categories.add_known(project, name, classes)
    else:
        known_categories.add_each_known(project, classes)
    known_model.request_known_model(project)


def _next_step(project: Project) -> str:
    """Return what is going to happen now, or what is needed before."""
    count = len(known_categories.known_classes(project))
    known = ngettext(
        "%(count)d category is known beforehand.",
        "%(count)d categories are known beforehand.",
        count,
    ) % {"count": count}
    live = registry.live_version(project)
    # Not within the f-string, where no sentence is found for translation
    if live and not live.manifest.get(known_model.WITHOUT_PICTURES):
        following = _("The next run takes them in.")
    elif count < 2:
        following = _("A model needs at least two.")
    else:
        following = _("A model of them is being made, and answers in a moment.")
    return f"{known} {following}"

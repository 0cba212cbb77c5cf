"""The page on which reviewers label what a model would learn most from, one or several at once."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import roles
from accounts.permissions import authenticated_user, may
from common.errors import DomainError
from common.htmx import HtmxRequest
from predictions import category_keys
from predictions.modalities import modalities
from predictions.models import Project
from review import card, undo
from training.data import picture_import
from training.forms import PicturesForm
from training.pool import labelling, proposals

SHOWN = 12


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@may(roles.REVIEW)
def label_next(request: HtmxRequest, slug: str) -> HttpResponse:
    """Show the next proposals; label, discard or skip those that were chosen."""
    project = _project(slug)
    if request.method != "POST":
        return render(request, "training/label_next.html", _context(request, project))
    try:
        done = labelling.decide(
            project,
            request.POST.getlist("sample")[:SHOWN],
            request.POST.get("ruling", ""),
            name=request.POST.get("name", ""),
            by=authenticated_user(request),
        )
    except DomainError as error:
        return _go_on(request, project, str(error), error=error)
    request.session[_undo_key(project)] = done.decisions
    return _go_on(request, project, done.sentence)


@never_cache
@require_POST
@may(roles.REVIEW)
def undo_labels(request: HtmxRequest, slug: str) -> HttpResponse:
    """Undo what was decided last on this page, all of it."""
    project = _project(slug)
    keys = request.session.pop(_undo_key(project), [])
    count = undo.undo_each(keys, by=authenticated_user(request))
    sentence = ngettext("%(count)d decision undone.", "%(count)d decisions undone.", count)
    return _go_on(request, project, sentence % {"count": count})


@require_POST
@may(roles.REVIEW)
def rank_pool(request: HttpRequest, slug: str) -> HttpResponse:
    """Have the pictures ranked anew."""
    project = _project(slug)
    proposals.request_ranking(project)
    return redirect("training:label_next", project.slug)


@require_GET
@may(roles.REVIEW)
def pool_progress(request: HttpRequest, slug: str) -> HttpResponse:
    """Answer how far the ranking is; once it has ended, have the page loaded again."""
    job = proposals.newest_ranking_job(_project(slug))
    if job is None or job.is_ended:
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    return render(request, "training/_pool_progress.html", {"job": job, "project": _project(slug)})


@require_POST
@may(roles.MANAGE_CATEGORIES)
def add_unlabelled(request: HttpRequest, slug: str) -> HttpResponse:
    """Take pictures without a label into the pool, and have it ranked."""
    project = _project(slug)
    form = PicturesForm(request.POST, request.FILES)
    report, status = None, 400
    if form.is_valid() and not form.has_samples:
        form.add_error("pictures", str(modalities[project.modality].sentences.choose_first))
    if form.is_valid():
        report = picture_import.import_files(
            project, None, form.cleaned_data["pictures"], by=authenticated_user(request)
        )
        if report.total_added:
            proposals.request_ranking(project)
        form, status = PicturesForm(), 200
    context = _context(request, project) | {"form": form, "report": report}
    return render(request, "training/label_next.html", context, status=status)


def _go_on(
    request: HtmxRequest, project: Project, sentence: str, *, error: DomainError | None = None
) -> HttpResponse:
    """Say what happened and show the next proposals."""
    if not request.htmx:
        (messages.error if error else messages.success)(request, sentence)
        return redirect("training:label_next", project.slug)
    context = _context(request, project) | {"sentence": sentence, "error": error}
    return render(
        request, "training/_pool_answer.html", context, status=error.status if error else 200
    )


def _context(request: HttpRequest, project: Project) -> dict[str, Any]:
    reviewer = authenticated_user(request)
    ranking = proposals.newest_ranking(project)
    left = proposals.open_proposals(ranking, reviewer) if ranking else []
    known = category_keys.keyed_categories(project)
    job = proposals.newest_ranking_job(project)
    return {
        "project": project,
        "ranking": ranking,
        "left": len(left),
        "tiles": proposals.with_answers(ranking, left[:SHOWN]) if ranking else [],
        "choices": card.category_buttons(known),
        "all_names": [category.name for category in known],
        "job": job if job and not job.is_ended else None,
        "failure": job.error if job and job.is_ended else "",
        "can_undo": bool(request.session.get(_undo_key(project))),
        "form": PicturesForm() if reviewer.has_perm(roles.MANAGE_CATEGORIES) else None,
        "most_files": settings.UPLOAD_BATCH_MAX_FILES,
    }


def _project(slug: str) -> Project:
    return get_object_or_404(Project, slug=slug, modality=Project.Modality.IMAGE)


def _undo_key(project: Project) -> str:
    return f"labelled-{project.pk}"

"""The pages of the gallery, for those who review."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import roles
from accounts.permissions import authenticated_user, may
from classifr.gallery import acts, downloads, lightbox, pages
from classifr.gallery.acts import Done
from classifr.gallery.filters import newest_answers
from classifr.gallery.forms import GalleryForm
from classifr.gallery.saved_views import counted_views, saved_views
from common.errors import DomainError
from common.htmx import HtmxRequest
from common.numbers import natural_number
from predictions import explanations
from predictions.models import Project, Sample
from predictions.views import pictures
from review import card

UNDO = "gallery-undo"  # in the session, for pages without a script


@may(roles.VIEW_SAMPLES)
@never_cache
@require_safe
def samples(request: HtmxRequest, slug: str) -> HttpResponse:
    """Show a project's samples that fit the filters, a page at a time."""
    project = get_object_or_404(Project, slug=slug)
    form = GalleryForm(project, request.GET)
    wanted = form.filters()
    after = natural_number(request.GET.get("after", ""))
    page = pages.find_page(wanted, after=after)
    query = form.query()
    context = {
        "project": project,
        "tiles": pages.with_facts(page.samples, wanted),
        "next_key": page.next_key,
        "query": query,
    }
    if request.htmx and after is not None:
        return render(request, "gallery/_tiles.html", context)
    known = list(project.categories.all())
    context |= {
        "form": form,
        "chips": list(form.chips()),
        "views": saved_views(query),
        "is_first_page": after is None,
        "choices": card.category_buttons(known),
        "all_names": [category.name for category in known],
        "undoable": request.session.pop(f"{UNDO}-{project.pk}", None),
    }
    return render(request, "gallery/samples.html", context)


@may(roles.VIEW_SAMPLES)
@never_cache
@require_safe
def sample_count(request: HttpRequest, slug: str) -> HttpResponse:
    """Show how many samples fit, of how many."""
    project = get_object_or_404(Project, slug=slug)
    form = GalleryForm(project, request.GET)
    wanted = form.filters()
    is_narrowed = bool(form.query())
    context = {
        "count": pages.count_samples(wanted) if is_narrowed else None,
        "all": pages.count_all(project),
        "is_narrowed": is_narrowed,
    }
    return render(request, "gallery/_count.html", context)


@may(roles.VIEW_SAMPLES)
@never_cache
@require_safe
def view_counts(request: HttpRequest, slug: str) -> HttpResponse:
    """Show how many samples each of the saved views has."""
    project = get_object_or_404(Project, slug=slug)
    return render(request, "gallery/_view_counts.html", {"views": counted_views(project)})


@may(roles.VIEW_SAMPLES)
@never_cache
@require_safe
def sample(request: HtmxRequest, slug: str, uuid: UUID) -> HttpResponse:
    """Show one sample over the grid; as a page of its own it is the review's."""
    project = get_object_or_404(Project, slug=slug)
    found = _sample(project, uuid)
    if not request.htmx:
        return redirect("review:sample", found.uuid)
    form = GalleryForm(project, request.GET)
    known = list(project.categories.all())
    context = {
        "project": project,
        "facts": lightbox.describe_sample(found, form.filters()),
        "query": form.query(),
        "choices": card.category_buttons(known),
        "all_names": [category.name for category in known],
    }
    return render(request, "gallery/_lightbox.html", context)


@may(roles.VIEW_SAMPLES)
@require_safe
def heat(request: HttpRequest, slug: str, uuid: UUID) -> HttpResponse:
    """Serve a sample's picture with what spoke for the newest answer drawn over it."""
    found = _sample(get_object_or_404(Project, slug=slug), uuid)
    answer = newest_answers().filter(sample=found).select_related("model_version", "top").first()
    if answer is None or not found.is_picture:
        raise Http404
    user = authenticated_user(request)
    explained = explanations.explain_prediction(answer, by=user)
    name = explanations.current_category_name(answer, explained)
    tag = f'"{answer.uuid}-heat"'
    data = explanations.render_heatmap(answer, explained.heat(name), by=user)
    return pictures.inert_response(data, "image/png", tag, found)


@may(roles.REVIEW)
@never_cache
@require_POST
def act(request: HtmxRequest, slug: str) -> HttpResponseBase:
    """Label, discard, send to review or download what was chosen, or all that fit."""
    project = get_object_or_404(Project, slug=slug)
    user = authenticated_user(request)
    query = request.POST.get("filters", "")
    ruling, name = request.POST.get("ruling", ""), request.POST.get("name", "")
    chosen = _chosen(request)
    try:
        form = GalleryForm(project, QueryDict(query))
        wanted = form.filters()
        if ruling == "download":
            if request.POST.get("all"):
                found = downloads.samples_to_download(wanted)
            else:
                found = list(Sample.objects.filter(project=project, uuid__in=list(chosen)))
                downloads.check_limits(found)
            response = StreamingHttpResponse(
                downloads.archive_of(found, wanted), content_type="application/zip"
            )
            response["Content-Disposition"] = f'attachment; filename="{project.slug}.zip"'
            return response
        if request.POST.get("all"):
            wish = acts.parse_act(project, ruling, name)
            done = acts.act_on_matching(wanted, form.query(), wish, by=user)
        else:
            acts.check_chosen(chosen)
            done = acts.act_on_chosen(
                project, chosen, acts.parse_act(project, ruling, name), by=user
            )
    except DomainError as error:
        return _answer(request, project, query, error=error)
    return _answer(request, project, query, done=done, uuids=list(chosen))


@may(roles.REVIEW)
@never_cache
@require_POST
def undo(request: HtmxRequest, slug: str, batch: UUID) -> HttpResponse:
    """Undo what was decided at once."""
    project = get_object_or_404(Project, slug=slug)
    user, query = authenticated_user(request), request.POST.get("filters", "")
    changed = [each.uuid for each in acts.samples_of(batch, by=user)]
    try:
        done = acts.undo_act(batch, by=user)
    except DomainError as error:
        return _answer(request, project, query, error=error)
    return _answer(request, project, query, done=done, uuids=changed)


@may(roles.REVIEW)
@never_cache
@require_safe
def progress(request: HttpRequest, slug: str, batch: UUID) -> HttpResponse:
    """Show how far a worker is with an act."""
    project = get_object_or_404(Project, slug=slug)
    job = acts.job_of(batch, by=authenticated_user(request))
    if job is None:
        raise Http404
    can_undo = job.is_ended and not job.error and job.payload["kind"] != acts.REVIEW
    done = Done(job.progress_note, batch, can_undo, job)
    return render(request, "gallery/_toast.html", {"project": project, "done": done})


def _sample(project: Project, uuid: UUID) -> Sample:
    return get_object_or_404(Sample.objects.select_related("project"), project=project, uuid=uuid)


def _chosen(request: HttpRequest) -> dict[UUID, int]:
    """Return the samples that were ticked, each with the decision that it was shown with."""
    found = {}
    for text in request.POST.getlist("sample"):
        key, _colon, decision = text.partition(":")
        try:
            found[UUID(key)] = natural_number(decision) or 0
        except ValueError:
            continue  # none of ours
    return found


def _answer(
    request: HtmxRequest,
    project: Project,
    query: str,
    *,
    done: Done | None = None,
    error: DomainError | None = None,
    uuids: list[UUID] | None = None,
) -> HttpResponse:
    """Say what happened; with a script beside the grid, whose tiles are shown anew."""
    if not request.htmx:
        if error:
            messages.error(request, str(error))
        elif done:
            messages.success(request, done.sentence)
            if done.can_undo:
                request.session[f"{UNDO}-{project.pk}"] = str(done.batch)
        here = reverse("samples", args=[project.slug])
        # What is no filter is not passed on
        form = GalleryForm(project, QueryDict(query))
        kept = form.query() if form.is_valid() else ""
        return redirect(f"{here}?{kept}" if kept else here)
    form = GalleryForm(project, QueryDict(query))
    tiles = []
    if uuids and form.is_valid():
        changed = Sample.objects.filter(project=project, uuid__in=uuids[: acts.MOST_CHOSEN])
        tiles = pages.with_facts(list(changed.select_related("project")), form.filters())
    context = {
        "project": project,
        "done": done,
        "error": error,
        "tiles": tiles,
        "query": query,
    }
    return render(request, "gallery/_acted.html", context, status=error.status if error else 200)

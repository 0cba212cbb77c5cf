"""The pages that review one sample at a time, with the next few ready behind it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import roles
from accounts.models import User
from accounts.permissions import authenticated_user, may
from common.errors import DomainError, InvalidInput
from common.numbers import natural_number
from predictions import categories, project_access
from predictions.models import Project, Sample
from predictions.views.explanations import heatmap_of
from review import card, decision_history, decisions, leases, queue, second_opinions
from review.forms import HistoryFilterForm, QueueFilterForm
from review.models import Decision, Skip
from review.queue import QueueFilters
from review.undo import undo_latest, undoable

SHOWN_COUNT = 99  # beyond, the page says "99+"
MAX_KEY = 18  # digits; what fits into a column of the database
AHEAD = 5  # cards that are ready beside the one that is shown
MAX_SAMPLES = 200  # that a page names at once


@may(roles.REVIEW)
@never_cache
@require_safe
def queue_page(request: HttpRequest) -> HttpResponse:
    """Show the next sample of the queue and have those after it ready, leased to this reviewer."""
    reviewer = authenticated_user(request)
    form = QueueFilterForm(request.GET, reviewer)
    filters = form.filters()
    samples = queue.lease_several(reviewer, filters, limit=1 + AHEAD)
    context = {
        "form": form,
        "narrowed": form.narrowed(),
        "project": filters.project or (samples[0].project if samples else None),
        "query": filter_query(request.GET),
        "has_skipped": Skip.objects.filter(reviewer=reviewer).exists(),
        "undoable": undoable(reviewer),
    }
    return render(request, "review/queue.html", context | _cards(reviewer, samples, filters))


@may(roles.REVIEW)
@never_cache
@require_POST
def more_cards(request: HttpRequest) -> HttpResponse:
    """Lease the next samples beside those that the page has, and answer with their cards."""
    reviewer = authenticated_user(request)
    query = filter_query(QueryDict(request.POST.get("filters", "")))
    filters = QueueFilterForm(QueryDict(query), reviewer).filters()
    besides = _uuids(request)
    samples = queue.lease_several(reviewer, filters, limit=1 + AHEAD, besides=besides)
    context = {"query": query} | _cards(reviewer, samples, filters)
    return render(request, "review/_cards.html", context)


@may(roles.REVIEW)
@never_cache
@require_safe
def waiting_count(request: HttpRequest, slug: str) -> HttpResponse:
    """Show how many samples of a project wait for this reviewer: the number beside "Review"."""
    project = get_object_or_404(Project, slug=slug)
    found = queue.upcoming_samples(
        authenticated_user(request), QueueFilters(project=project), limit=SHOWN_COUNT + 1
    )
    context = {"waiting": min(len(found), SHOWN_COUNT), "is_more": len(found) > SHOWN_COUNT}
    return render(request, "review/_waiting.html", context)


@may(roles.REVIEW)
@never_cache
@require_safe
def sample_detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Show one sample with its history, to decide about it (again)."""
    sample, reviewer = _sample(uuid), authenticated_user(request)
    # Taken by somebody else, it is shown without the buttons
    is_taken = not leases.acquire(sample, reviewer)
    context = {
        "card": card.build_card(sample),
        "project": sample.project,
        "is_taken": is_taken,
        "undoable": undoable(reviewer),
    }
    return render(request, "review/sample.html", context)


@may(roles.REVIEW)
@require_safe
def heatmap(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Serve a sample's picture with what spoke for the answer that the review page shows."""
    prediction = card.build_card(_sample(uuid)).prediction
    if prediction is None:
        raise Http404
    return heatmap_of(request, prediction)


@may(roles.REVIEW)
@never_cache
@require_POST
def decide(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Store a decision: JSON for the page's script, which has gone on, or the queue again."""
    sample, reviewer = _sample(uuid), authenticated_user(request)
    try:
        sentence, decision = _decide(request, sample, reviewer)
    except DomainError as error:
        if not isinstance(error, InvalidInput):
            # Decided by somebody else, for example: there is nothing left to do about this sample
            leases.release(sample, reviewer)
        return _go_on(request, str(error), error=error)
    return _go_on(request, sentence, decision=decision.pk if decision else None)


@may(roles.REVIEW)
@never_cache
@require_POST
def undo(request: HttpRequest) -> HttpResponse:
    """Undo the reviewer's newest decision, and show its sample."""
    reviewer = authenticated_user(request)
    # The decision that the page offered to undo; the newest if it knew of none
    text = request.POST.get("undo", "")
    shown = int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_KEY else None
    try:
        decision = undo_latest(reviewer, decision_key=shown)
    except DomainError as error:
        return _go_on(request, str(error), error=error)
    sample, sentence = decision.sample, _("Undone. The picture is here again.")
    if not _wants_json(request):
        messages.success(request, sentence)
        return redirect("review:sample", sample.uuid)
    query = filter_query(QueryDict(request.POST.get("filters", "")))
    context = {"cards": card.build_cards([sample], reviewer), "query": query}
    before = undoable(reviewer)
    return JsonResponse(
        {
            "sentence": sentence,
            "cards": render_to_string("review/_cards.html", context, request),
            "undoable": before.pk if before else None,
        }
    )


@may(roles.REVIEW)
@never_cache
@require_POST
def unskip(request: HttpRequest) -> HttpResponse:
    """Show the reviewer again what they skipped, or take back the skip of one sample."""
    reviewer = authenticated_user(request)
    if not (uuids := _uuids(request)):
        leases.clear_skips(reviewer)
        return _go_on(request, _("Here is what you skipped."))
    sample = get_object_or_404(_reviewable(reviewer, uuids[:1]))
    leases.clear_skips(reviewer, sample)
    leases.acquire(sample, reviewer)
    return _go_on(request, _("Undone. The picture is here again."))


@may(roles.REVIEW)
@never_cache
@require_POST
def renew_leases(request: HttpRequest) -> HttpResponse:
    """Keep the leases while the page is shown; answer which samples somebody else has by now."""
    reviewer = authenticated_user(request)
    samples = list(_reviewable(reviewer, _uuids(request)))
    kept = {each.pk for each in leases.acquire_each(samples, reviewer)}
    return JsonResponse({"lost": [each.uuid for each in samples if each.pk not in kept]})


@may(roles.REVIEW)
@never_cache
@require_POST
def release_leases(request: HttpRequest) -> HttpResponse:
    """Release leases: the page was closed."""
    samples = Sample.objects.filter(uuid__in=_uuids(request))
    leases.release_each(samples, authenticated_user(request))
    return HttpResponse(status=204)


@may(roles.REVIEW)
@never_cache
@require_safe
def history(request: HttpRequest) -> HttpResponse:
    """List the decisions, newest first."""
    reviewer = authenticated_user(request)
    form = HistoryFilterForm(request.GET, reviewer)
    values = form.cleaned_or_refuse()
    page = decision_history.decision_page(
        seen_by=reviewer,
        project=values["project"],
        outcome=values["outcome"],
        reviewer=reviewer if values["whose"] else None,
        with_imported=bool(values["samples"]),
        before=values["before"],
    )
    parameters = request.GET.copy()
    parameters.pop("before", None)
    newest = parameters.urlencode()
    if page.next_key:
        parameters["before"] = str(page.next_key)
    context = {"form": form, "page": page, "newest": newest, "older": parameters.urlencode()}
    return render(request, "review/history.html", context)


def filter_query(parameters: QueryDict) -> str:
    """Return the filters as a query string, to be passed on from picture to picture."""
    kept = QueryDict(mutable=True)
    for name in QueueFilterForm.base_fields:
        if value := parameters.get(name):
            kept[name] = value
    return kept.urlencode()


def _sample(uuid: UUID) -> Sample:
    return get_object_or_404(Sample.objects.select_related("project"), uuid=uuid)


def _reviewable(reviewer: User, uuids: Sequence[UUID]) -> QuerySet[Sample]:
    """Return those of these samples whose projects the reviewer reviews."""
    own = project_access.within(reviewer, roles.REVIEW)
    return Sample.objects.filter(own, uuid__in=uuids).select_related("project")


def _uuids(request: HttpRequest) -> list[UUID]:
    """Return the samples that a page names; what is none of ours is left out."""
    found = []
    for text in request.POST.getlist("sample")[:MAX_SAMPLES]:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found


def _decide(request: HttpRequest, sample: Sample, reviewer: User) -> tuple[str, Decision | None]:
    """Do what the pressed button says; return what happened as a sentence, and the decision."""
    kind, _colon, what = request.POST.get("ruling", "").partition(":")
    # The prediction that was on the screen; by now there may be a newer one
    shown = natural_number(request.POST.get("prediction", ""))
    predictions = sample.predictions.select_related("top")
    details: dict[str, Any] = {
        "by": reviewer,
        "reason": request.POST.get("reason", ""),
        "prediction": predictions.filter(pk=shown).first() if shown else None,
    }
    if kind != "skip" and (first := natural_number(request.POST.get("opinion", ""))):
        return _second(request, sample, first, reviewer), None
    match kind:
        case "skip":
            leases.skip_sample(sample, reviewer)
            return _("Skipped. Others will see it; you will not be shown it again."), None
        case "discard":
            return _("Discarded."), decisions.discard_sample(sample, **details)
        case "confirm":
            decision = decisions.confirm_prediction(sample, **details)
            return _("Confirmed: %(category)s.") % {"category": decision.category}, decision
        case "category":
            number = natural_number(what)
            category = sample.project.categories.filter(pk=number).first() if number else None
            if category is None:
                raise InvalidInput(_("This category no longer exists. Choose another one."))
            decision = decisions.label_sample(sample, category, **details)
        case "name":
            decision = decisions.label_by_name(
                sample, what or request.POST.get("name", ""), **details
            )
        case _:
            raise InvalidInput(_("Choose a category, confirm, discard or skip."))
    return _("Labelled as %(category)s.") % {"category": decision.category}, decision


def _second(request: HttpRequest, sample: Sample, first: int, reviewer: User) -> str:
    """Keep what the pressed button says as a second opinion; return what happened."""
    kind, _colon, what = request.POST.get("ruling", "").partition(":")
    number = natural_number(what if kind == "category" else request.POST.get("prediction", ""))
    category = None
    match kind:
        case "category" if number:
            category = sample.project.categories.filter(pk=number).first()
        case "confirm" if number:
            shown = sample.predictions.select_related("top").filter(pk=number).first()
            category = shown.top if shown else None
        case "name":
            name = what or request.POST.get("name", "")
            category, _created = categories.add_category(sample.project, name)
    if category is None and kind != "discard":
        raise InvalidInput(_("Choose a category, confirm, discard or skip."))
    second_opinions.give_opinion(
        sample, first, category=category, by=reviewer, reason=request.POST.get("reason", "")
    )
    return _("Your second opinion is kept.")


def _go_on(
    request: HttpRequest,
    sentence: str,
    *,
    error: DomainError | None = None,
    decision: int | None = None,
) -> HttpResponse:
    """Say what happened: to the script, or to people on the queue's page."""
    if _wants_json(request):
        return JsonResponse(
            {"sentence": sentence, "decision": decision}, status=error.status if error else 200
        )
    (messages.error if error else messages.success)(request, sentence)
    query = filter_query(QueryDict(request.POST.get("filters", "")))
    return redirect(reverse("review:queue") + (f"?{query}" if query else ""))


def _wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def _cards(reviewer: User, samples: Sequence[Sample], filters: QueueFilters) -> dict[str, Any]:
    waiting = queue.upcoming_samples(reviewer, filters, limit=SHOWN_COUNT + 1)
    return {
        "cards": card.build_cards(samples, reviewer),
        "waiting": min(len(waiting), SHOWN_COUNT),
        "is_more": len(waiting) > SHOWN_COUNT,
    }

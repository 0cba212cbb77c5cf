"""The review pages: one picture at a time, and the response to a decision is the next one."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import roles
from accounts.models import User
from accounts.permissions import authenticated_user, may
from common.errors import DomainError, InvalidInput
from common.htmx import HtmxRequest
from common.numbers import natural_number
from predictions import categories
from predictions.models import Project, Sample
from review import card, decision_history, decisions, leases, queue, second_opinions
from review.forms import HistoryFilterForm, QueueFilterForm
from review.models import Skip
from review.queue import QueueFilters
from review.undo import undo_latest, undoable

SHOWN_COUNT = 99  # beyond, the page says "99+"
MAX_KEY = 18  # digits; what fits into a column of the database


@may(roles.REVIEW)
@never_cache
@require_safe
def queue_page(request: HttpRequest) -> HttpResponse:
    """Show the next sample of the queue, leased to this reviewer."""
    form = QueueFilterForm(request.GET)
    filters = form.filters()
    sample = queue.lease_next(authenticated_user(request), filters)
    return render(
        request,
        "review/queue.html",
        {"form": form, "is_narrowed": filters != QueueFilters(project=filters.project)}
        | _card(request, sample, filters, filter_query(request.GET)),
    )


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
    sample = _sample(uuid)
    context = _card(request, sample, QueueFilters(), "", in_queue=False)
    # Taken by somebody else, it is shown without the buttons
    context["is_taken"] = not leases.acquire(sample, authenticated_user(request))
    return render(request, "review/sample.html", context)


@may(roles.REVIEW)
@never_cache
@require_POST
def decide(request: HtmxRequest, uuid: UUID) -> HttpResponse:
    """Store a decision, and show the next sample, or the same one if the input was invalid."""
    sample = _sample(uuid)
    try:
        sentence = _decide(request, sample, authenticated_user(request))
    except InvalidInput as error:
        return _go_on(request, str(error), error=error, sample=sample)
    except DomainError as error:
        # Decided by somebody else, for example: there is nothing left to do about this sample
        leases.release(sample, authenticated_user(request))
        return _go_on(request, str(error), error=error)
    return _go_on(request, sentence)


@may(roles.REVIEW)
@never_cache
@require_POST
def undo(request: HtmxRequest) -> HttpResponse:
    """Undo the reviewer's newest decision, and show its sample."""
    reviewer = authenticated_user(request)
    # The decision that the page offered to undo; the newest if it knew of none
    text = request.POST.get("undo", "")
    shown = int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_KEY else None
    try:
        decision = undo_latest(reviewer, decision_key=shown)
    except DomainError as error:
        return _go_on(request, str(error), error=error)
    sample = decision.sample
    if request.htmx:
        return _go_on(request, _("Undone. The picture is here again."), sample=sample)
    messages.success(request, _("Undone. The picture is here again."))
    return redirect("review:sample", sample.uuid)


@may(roles.REVIEW)
@never_cache
@require_POST
def unskip(request: HtmxRequest) -> HttpResponse:
    """Show the reviewer again what they skipped."""
    leases.clear_skips(authenticated_user(request))
    return _go_on(request, _("Here is what you skipped."))


@may(roles.REVIEW)
@never_cache
@require_POST
def renew_lease(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Keep the lease while the page is shown: 204, or 409 if somebody else has the sample now."""
    return HttpResponse(
        status=204 if leases.acquire(_sample(uuid), authenticated_user(request)) else 409
    )


@may(roles.REVIEW)
@never_cache
@require_POST
def release_lease(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Release the lease: the page was closed."""
    leases.release(_sample(uuid), authenticated_user(request))
    return HttpResponse(status=204)


@may(roles.REVIEW)
@never_cache
@require_safe
def history(request: HttpRequest) -> HttpResponse:
    """List the decisions, newest first."""
    form = HistoryFilterForm(request.GET)
    values = form.cleaned_or_refuse()
    page = decision_history.decision_page(
        project=values["project"],
        outcome=values["outcome"],
        reviewer=authenticated_user(request) if values["whose"] else None,
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


def _decide(request: HttpRequest, sample: Sample, reviewer: User) -> str:
    """Do what the pressed button says; return what happened as a sentence."""
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
        return _second(request, sample, first, reviewer)
    match kind:
        case "skip":
            leases.skip_sample(sample, reviewer)
            return _("Skipped. Others will see it; you will not be shown it again.")
        case "discard":
            decisions.discard_sample(sample, **details)
            return _("Discarded.")
        case "confirm":
            decision = decisions.confirm_prediction(sample, **details)
            return _("Confirmed: %(category)s.") % {"category": decision.category}
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
    return _("Labelled as %(category)s.") % {"category": decision.category}


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
    request: HtmxRequest,
    sentence: str,
    *,
    error: DomainError | None = None,
    sample: Sample | None = None,
) -> HttpResponse:
    """Say what happened and show a sample: this one, or the next."""
    query = filter_query(QueryDict(request.POST.get("filters", "")))
    here = reverse("review:queue") + (f"?{query}" if query else "")
    if not request.htmx:
        (messages.error if error else messages.success)(request, sentence)
        return redirect(here)
    filters = QueueFilterForm(QueryDict(query)).filters()
    if sample is None:
        sample = queue.lease_next(authenticated_user(request), filters)
    context = _card(request, sample, filters, query) | {"sentence": sentence, "error": error}
    response = render(
        request, "review/_answer.html", context, status=error.status if error else 200
    )
    # htmx swaps the card in place; a reload is to show the queue and not this POST
    response["HX-Replace-Url"] = here
    return response


def _card(
    request: HttpRequest,
    sample: Sample | None,
    filters: QueueFilters,
    query: str,
    *,
    in_queue: bool = True,
) -> dict[str, Any]:
    reviewer = authenticated_user(request)
    waiting = queue.upcoming_samples(reviewer, filters, limit=SHOWN_COUNT + 1)
    # Its picture is loaded ahead, so that the next page shows it at once
    following = next((pk for pk in waiting if sample is None or pk != sample.pk), None)
    return {
        "project": filters.project or (sample.project if sample else None),
        "card": card.build_card(sample, reviewer if in_queue else None) if sample else None,
        "waiting": min(len(waiting), SHOWN_COUNT),
        "is_more": len(waiting) > SHOWN_COUNT,
        "following": Sample.objects.filter(pk=following).first() if following else None,
        "query": query,
        "has_skipped": sample is None and Skip.objects.filter(reviewer=reviewer).exists(),
        "undoable": undoable(reviewer),
    }

"""The page that reviews samples in groups of alike ones, a whole group at once."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import roles
from accounts.permissions import authenticated_user, may
from common.errors import DomainError
from common.numbers import natural_number
from predictions import category_keys, project_access
from predictions.models import Prediction, Sample
from review import alike
from review.forms import QueueFilterForm
from review.views.cards import filter_query

LOOSELY = "loosely"
LAST = "review-last-group"  # in the session: what undoes it


@may(roles.REVIEW)
@never_cache
@require_safe
def groups_page(request: HttpRequest) -> HttpResponse:
    """Show what waits in groups of alike ones, and one of them, leased to this reviewer."""
    reviewer = authenticated_user(request)
    form = QueueFilterForm(request.GET, reviewer)
    filters = form.filters()
    is_loose = request.GET.get("alike") == LOOSELY
    groups = alike.group_waiting(reviewer, filters, closely=not is_loose)
    keys = [group.key for group in groups]
    place = keys.index(key) if (key := request.GET.get("group", "")) in keys else 0
    query = filter_query(request.GET)
    shown = alike.lease_group(groups[place], reviewer) if groups else None
    context: dict[str, Any] = {
        "form": form,
        "narrowed": form.narrowed(),
        "project": filters.project or (shown.project if shown else None),
        "query": query,
        "is_loose": is_loose,
        "groups": list(zip(keys, groups, strict=True)),
        "waiting": sum(len(group.members) for group in groups),
        "is_cut": sum(len(group.members) for group in groups) >= alike.MOST,
        "group": shown,
        "here": keys[place] if groups else "",
        "before": keys[place - 1] if place else "",
        "after": keys[place + 1] if place + 1 < len(keys) else "",
        "whole": len(groups[place].members) if groups else 0,
        "last": request.session.get(LAST, {}).get("sentence", ""),
    }
    if shown:
        known = category_keys.keyed_categories(shown.project)
        context["all_names"] = sorted(category.name for category in known)
    return render(request, "review/alike.html", context)


@may(roles.REVIEW)
@never_cache
@require_POST
def decide_group(request: HttpRequest) -> HttpResponse:
    """Do with the chosen ones what the pressed button says, and show the next group."""
    try:
        done = alike.decide_group(
            _chosen(request),
            request.POST.get("ruling", ""),
            name=request.POST.get("name", ""),
            by=authenticated_user(request),
        )
    except DomainError as error:
        messages.error(request, str(error))
        return _go_on(request, request.POST.get("group", ""))
    request.session[LAST] = asdict(done)
    return _go_on(request, request.POST.get("after", ""))


@may(roles.REVIEW)
@never_cache
@require_POST
def undo_group(request: HttpRequest) -> HttpResponse:
    """Undo what was done with the last group, all of it."""
    last = request.session.pop(LAST, None)
    if last is None:
        messages.error(request, _("You have nothing left to undo."))
        return _go_on(request, request.POST.get("group", ""))
    reviewer = authenticated_user(request)
    count = alike.undo_group(last["decisions"], last["skipped"], by=reviewer)
    sentence = ngettext("%(count)d undone.", "%(count)d undone.", count)
    messages.success(request, sentence % {"count": count})
    return _go_on(request, "")


def _chosen(request: HttpRequest) -> dict[Sample, Prediction | None]:
    """Return the chosen samples with the predictions that were shown; none of ours is left out."""
    shown: dict[UUID, int | None] = {}
    for text in request.POST.getlist("chosen")[: alike.SHOWN]:
        uuid, _colon, key = text.partition(":")
        try:
            shown[UUID(uuid)] = natural_number(key)
        except ValueError:
            continue
    own = project_access.within(authenticated_user(request), roles.REVIEW)
    samples = Sample.objects.filter(own, uuid__in=shown).select_related("project")
    predictions = Prediction.objects.filter(pk__in=[key for key in shown.values() if key])
    by_key = {each.pk: each for each in predictions.select_related("top").defer("scores")}
    chosen: dict[Sample, Prediction | None] = {}
    for sample in samples:
        prediction = by_key.get(shown[sample.uuid] or 0)
        is_its = prediction and prediction.sample_id == sample.pk
        chosen[sample] = prediction if is_its else None
    return chosen


def _go_on(request: HttpRequest, group: str) -> HttpResponse:
    query = QueryDict(filter_query(QueryDict(request.POST.get("filters", ""))), mutable=True)
    if request.POST.get("alike") == LOOSELY:
        query["alike"] = LOOSELY
    if group:
        query["group"] = group
    here = reverse("review:alike")
    return redirect(f"{here}?{query.urlencode()}" if query else here)

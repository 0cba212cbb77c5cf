"""The pages of a batch: its pictures come in parts, its answers are judged all at once."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts import roles
from accounts.permissions import authenticated_user, may
from common.errors import DomainError, InvalidInput
from common.htmx import HtmxRequest
from common.numbers import natural_number
from predictions import batch_answers, batches, conditions, feedback
from predictions.models import Batch, BatchItem, Prediction, Project
from predictions.views.pages import category_names


@may(roles.CLASSIFY)
@require_POST
def start_batch(request: HttpRequest, slug: str) -> HttpResponse:
    """Begin a batch whose files follow one by one: 201 with its address."""
    project = get_object_or_404(Project, slug=slug)
    batch = batches.start_batch(project, by=authenticated_user(request))
    return HttpResponse(status=201, headers={"Location": batch.get_absolute_url()})


@may(roles.CLASSIFY)
@require_POST
def add_file(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Take one file of a batch: 201, or 200 with the reason why it is kept as refused."""
    file = request.FILES.get("file")
    if file is None:
        raise InvalidInput(_("Please choose a picture first."))
    item = batches.add_to_batch(
        _own_batch(request, uuid),
        file,
        key=request.POST.get("key", ""),
        given=conditions.submitted_conditions(request.POST.dict()),
    )
    return HttpResponse(item.error, status=200 if item.error else 201, content_type="text/plain")


@may(roles.CLASSIFY)
@require_GET
def batch_detail(request: HtmxRequest, uuid: UUID) -> HttpResponse:
    """Show how far a batch is; the page asks again until everything is answered."""
    batch = _own_batch(request, uuid)
    template = "predictions/_batch.html" if request.htmx else "predictions/batch.html"
    return render(request, template, _context(request, batch))


@may(roles.CLASSIFY)
@require_POST
def give_verdicts(request: HtmxRequest, uuid: UUID) -> HttpResponse:
    """Take OK for the answers that were shown, NOK for those that were ticked as wrong."""
    batch, user = _own_batch(request, uuid), authenticated_user(request)
    shown, wrong = _keys(request, "shown"), set(_keys(request, "wrong"))
    predictions = list(
        Prediction.objects.visible_to(user)
        .filter(batch_item__batch=batch, pk__in=shown)
        .select_related("project", "sample")
    )
    error, said = None, feedback.Verdicts()
    try:
        said = feedback.give_verdicts(
            predictions, wrong, by=user, category=request.POST.get("category", "")
        )
    except DomainError as refusal:
        error = refusal
    if not request.htmx:
        if error:
            messages.error(request, str(error))
        else:
            messages.success(request, _sentence(said))
        return redirect(batch)
    context = _context(request, batch) | {"error": error, "said": said}
    context["sentence"] = "" if error else _sentence(said)
    status = error.status if error else 200
    return render(request, "predictions/_batch.html", context, status=status)


@may(roles.CLASSIFY)
@require_GET
def batch_csv(request: HttpRequest, uuid: UUID) -> StreamingHttpResponse:
    """Give all answers of a batch as CSV."""
    batch = _own_batch(request, uuid)
    lines = batch_answers.answers_csv(batch)
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="batch-{batch.uuid}.csv"'
    return response


@may(roles.CLASSIFY)
@require_POST
def resume_batch(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Try the rest of a batch again that had stopped."""
    batch = _own_batch(request, uuid)
    batches.enqueue_batch(batch)
    return redirect(batch)


def _own_batch(request: HttpRequest, uuid: UUID) -> Batch:
    mine = Batch.objects.select_related("project", "user").filter(user=authenticated_user(request))
    return get_object_or_404(mine, uuid=uuid)


def _keys(request: HttpRequest, name: str) -> list[int]:
    found = map(natural_number, request.POST.getlist(name)[: batch_answers.PAGE])
    return [key for key in found if key]


def _sentence(said: feedback.Verdicts) -> str:
    return _("%(nok)d NOK and %(ok)d OK sent.") % {"nok": said.nok, "ok": said.ok}


def _context(request: HttpRequest, batch: Batch) -> dict[str, Any]:
    only, after = request.GET.get("only", ""), request.GET.get("after", "")
    page = batch_answers.batch_page(batch, only=only, after=after)
    progress = batch_answers.batch_progress(batch)
    return {
        "project": batch.project,
        "batch": batch,
        "state": progress,
        "page": page,
        "only": only,
        "after": after,
        "answers": batch_answers.answers_given(batch) if progress.is_finished else [],
        "open_items": [each for each in page.rows if _is_open(each)],
        "category_names": category_names(batch.project),
    }


def _is_open(item: BatchItem) -> bool:
    """Say whether an answer of a batch can still be called right or wrong here."""
    prediction = item.prediction
    if prediction is None or prediction.own_feedback:  # type: ignore[attr-defined]
        return False
    return prediction.sample.has_picture

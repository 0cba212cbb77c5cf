"""The pages of this app: send pictures, see the answers, say OK or NOK."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRedirect

from accounts import roles
from accounts.models import User
from accounts.permissions import authenticated_user, may
from common.errors import DomainError, InvalidInput
from common.htmx import HtmxRequest
from predictions import (
    batches,
    category_keys,
    classification,
    conditions,
    feedback,
    prediction_history,
    project_access,
    registry,
)
from predictions.forms import HistoryForm
from predictions.modalities import modalities
from predictions.models import Feedback, Prediction, Project

MOST_CHOICES = 24  # categories as buttons; all of them can be typed


@may(roles.CLASSIFY)
@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: HtmxRequest, slug: str) -> HttpResponse:
    """Take pictures for a project: one is answered at once, several as a batch."""
    project = get_object_or_404(Project, slug=slug)
    if request.method != "POST":
        return _upload_page(request, project)
    try:
        return _take(request, project)
    except DomainError as error:
        if request.htmx:
            raise  # rendered as the sentence alone, next to the form
        return _upload_page(request, project, error)


def _take(request: HtmxRequest, project: Project) -> HttpResponse:
    user = authenticated_user(request)
    modality = modalities[project.modality]
    files = modality.submitted(request.POST, request.FILES.getlist("file"))
    if not files:
        raise InvalidInput(str(modality.sentences.choose_first))
    given = conditions.submitted_conditions(request.POST.dict())
    # Several would keep the browser waiting without any sign of progress.
    if len(files) > 1:
        address = batches.create_batch(project, files, by=user, given=given).get_absolute_url()
        return HttpResponseClientRedirect(address) if request.htmx else redirect(address)
    prediction = classification.classify_upload(project, files[0], by=user, given=given)
    if request.htmx:
        return render(request, "predictions/_result.html", prediction_context(prediction, user))
    return redirect(prediction)


def _upload_page(
    request: HttpRequest, project: Project, error: DomainError | None = None
) -> HttpResponse:
    modality = modalities[project.modality]
    context = {
        "project": project,
        "live": registry.live_version(project),
        "error": error,
        "form_template": f"predictions/{modality.alias}/_upload_form.html",
        "written": request.POST.get("text", ""),
        **modality.context(),
    }
    response = render(
        request, "predictions/upload.html", context, status=error.status if error else 200
    )
    if error and error.retry_after_seconds is not None:
        response["Retry-After"] = str(error.retry_after_seconds)
    return response


@may(roles.CLASSIFY)
@require_GET
def prediction_detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Show one prediction of one's own: the scores, the verdict and what became of it."""
    return render(
        request,
        "predictions/detail.html",
        prediction_context(get_own_prediction(request, uuid), authenticated_user(request)),
    )


@may(roles.CLASSIFY)
@require_POST
def give_feedback(request: HtmxRequest, uuid: UUID) -> HttpResponse:
    """Take a verdict; a refusal is shown beside the buttons."""
    prediction, user = get_own_prediction(request, uuid), authenticated_user(request)
    error, whole = None, not request.htmx
    try:
        feedback.give_feedback(
            prediction,
            request.POST.get("verdict", ""),
            by=user,
            category=request.POST.get("choice") or request.POST.get("category", ""),
        )
    except DomainError as refusal:
        error = refusal
    if whole and not error:
        return redirect(prediction)
    prediction.sample.refresh_from_db()  # an OK may just have let its picture go
    context = prediction_context(prediction, user) | {"error": error, "swapped": not whole}
    template = "predictions/detail.html" if whole else "predictions/_verdict.html"
    return render(request, template, context, status=error.status if error else 200)


@may(roles.CLASSIFY)
@require_GET
def history(request: HttpRequest) -> HttpResponse:
    """Show one's own predictions, the newest first; unknown filters are refused."""
    wanted = prediction_history.parse_filters(request.GET.dict())
    user = authenticated_user(request)
    page = prediction_history.history_page(user, wanted)
    parameters = {name: value for name, value in request.GET.items() if value and name != "before"}
    context = {
        "page": page,
        "form": HistoryForm(wanted, user),
        "wanted": wanted,
        "project": project_access.visible_projects(user).filter(slug=wanted.project).first(),
        "newest": urlencode(parameters),
        "older": urlencode(parameters | {"before": page.next_key}),
    }
    return render(request, "predictions/history.html", context)


def get_own_prediction(request: HttpRequest, uuid: UUID) -> Prediction:
    """Return a prediction of the user's own; Http404 for any other."""
    mine = Prediction.objects.visible_to(request.user).select_related(
        *prediction_history.RELATED_FIELDS
    )
    return get_object_or_404(mine, uuid=uuid)


def prediction_context(prediction: Prediction, user: User) -> dict[str, Any]:
    """Return what the templates need to show one prediction with its verdict."""
    given: Feedback | None = feedback.get_feedback(prediction, user)
    return {
        "prediction": prediction,
        "project": prediction.project,
        "given": given,
        "is_open": feedback.can_change_feedback(prediction, given),
        "choices": category_keys.keyed_categories(prediction.project)[:MOST_CHOICES],
        "category_names": category_names(prediction.project),
    }


def category_names(project: Project) -> list[str]:
    """Return what a user may say that a picture is, beside a name of their own."""
    return list(project.categories.values_list("name", flat=True))

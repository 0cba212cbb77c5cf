"""The pages that show what in a picture spoke for an answer, for the one who asked for it."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts import roles
from accounts.permissions import authenticated_user, may
from common.errors import DomainError
from common.htmx import HtmxRequest
from predictions import explanations
from predictions.models import Prediction
from predictions.views import pictures
from predictions.views.pages import get_own_prediction, prediction_context


@may(roles.CLASSIFY)
@require_safe
def explanation(request: HtmxRequest, uuid: UUID) -> HttpResponse:
    """Show where the picture spoke for `category`, the answer unless given, or a refusal."""
    prediction = get_own_prediction(request, uuid)
    context: dict[str, Any] = {"prediction": prediction}
    status = 200
    try:
        found = explanations.explain_prediction(prediction)
        asked = request.GET.get("category", "")
        name = asked or explanations.current_category_name(prediction, found)
        context |= {
            "explained": name,
            "explained_names": sorted(found.names),
            "heat": found.heat(name),
            "explained_template": f"predictions/{prediction.project.modality}/_explained.html",
        }
    except DomainError as error:
        context["explanation_error"] = error
        status = error.status
    if request.htmx:
        return render(
            request, "predictions/_explanation.html", context | {"swapped": True}, status=status
        )
    context |= prediction_context(prediction, authenticated_user(request))
    return render(request, "predictions/detail.html", context, status=status)


@may(roles.CLASSIFY)
@require_safe
def heatmap(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Serve the picture with the heat of one `category` over it."""
    return heatmap_of(request, get_own_prediction(request, uuid))


def heatmap_of(request: HttpRequest, prediction: Prediction) -> HttpResponse:
    """Serve the picture of a prediction that the caller may see, with the heat over it.

    Raises:
        DomainError: if the model cannot explain its answers, or not now.
    """
    if not prediction.sample.has_picture:
        raise Http404
    # From the cache as a rule: the page has asked for the words a moment before.
    found = explanations.explain_prediction(prediction)
    name = request.GET.get("category") or explanations.current_category_name(prediction, found)
    tag = f'"{prediction.uuid}-heat-{found.category_index(name)}"'
    if request.headers.get("If-None-Match") == tag:
        return HttpResponseNotModified()
    return pictures.inert_response(
        explanations.render_heatmap(prediction, found.heat(name)),
        "image/png",
        tag,
        prediction.sample,
    )

"""The API of this app: the same domain functions as the pages, for programs."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, prefetch_related_objects
from django.http import Http404, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import roles
from accounts.models import User
from common.errors import InvalidInput
from predictions import (
    classification,
    conditions,
    feedback,
    prediction_history,
    project_access,
    projects,
    registry,
)
from predictions.modalities import modalities
from predictions.models import Feedback, Prediction, Project
from predictions.parsers import (
    JsonTextParser,
    LimitedJSONParser,
    OctetStreamParser,
    PictureParser,
    PlainTextParser,
)
from predictions.serializers import (
    AnswerSerializer,
    ErrorSerializer,
    FeedbackSerializer,
    PageSerializer,
    PredictionSerializer,
    ProjectSerializer,
    TextSerializer,
    UploadSerializer,
    VerdictSerializer,
    render_prediction,
)

PICTURE = {"type": "string", "format": "binary"}


class InItsProject(BasePermission):
    """Lets `has_perm` answer for the project that the address names; 404 if it is hidden."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        user = authenticated_user(request)
        if slug := view.kwargs.get("slug"):
            project_access.enter_by(user, slug=slug)
        elif uuid := view.kwargs.get("uuid"):
            project_access.enter_project_of(user, Prediction.objects.filter(uuid=uuid))
        return True


class MayClassify(BasePermission):
    """Every role may; an account without a role may not."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        user = authenticated_user(request)
        if "slug" in view.kwargs or "uuid" in view.kwargs:
            return user.has_perm(roles.CLASSIFY)
        return project_access.may_somewhere(user, roles.CLASSIFY)


class PredictionsApiView(APIView):
    permission_classes: tuple[type[BasePermission], ...] = (
        IsAuthenticated,
        InItsProject,
        MayClassify,
    )


def documented_responses(ok: Any, *refused: int) -> dict[int, Any]:
    """Return the answers of an operation for its description; some refusals all of them share."""
    texts = {
        400: "What was sent cannot be used.",
        401: "No valid token.",
        403: "The account may not do this.",
        404: "Not found, or you may not access it.",
        406: "The API answers in JSON only.",
        409: "Not in this state: no model yet, already decided, or the picture is gone.",
        413: "Too large.",
        415: "A body of this type is not taken here.",
        429: "Too much, too fast: Retry-After says when again.",
        503: "A part behind the server does not answer now.",
    }
    shared = (401, 403, 406, 429)
    return {200: ok} | {
        status: OpenApiResponse(ErrorSerializer, texts[status]) for status in (*refused, *shared)
    }


class ProjectsView(PredictionsApiView):
    @extend_schema(
        operation_id="projects", responses=documented_responses(ProjectSerializer(many=True))
    )
    def get(self, request: Request) -> Response:
        """List the projects, with the number of the model version that answers in each."""
        seen = project_access.visible_projects(authenticated_user(request))
        found = projects.projects_with_live_version(among=seen).prefetch_related("categories")
        return Response(ProjectSerializer(found, many=True).data)


class PredictView(PredictionsApiView):
    # The project comes with its live version, in one query: what may be done in it is asked then
    permission_classes = (IsAuthenticated,)
    parser_classes = (
        MultiPartParser,
        PictureParser,
        OctetStreamParser,
        PlainTextParser,
        JsonTextParser,
    )
    throttle_classes = ()  # pictures are counted more strictly, by `quotas`

    @extend_schema(
        operation_id="predict",
        request={
            "multipart/form-data": UploadSerializer,
            "image/*": PICTURE,
            "application/octet-stream": PICTURE,
            "application/json": TextSerializer,
            "text/plain": {"type": "string"},
        },
        parameters=[
            OpenApiParameter(
                "group", OpenApiTypes.STR, description="As the form's field, for bare bodies."
            )
        ],
        responses=documented_responses(AnswerSerializer, 400, 404, 409, 413, 415, 503),
    )
    def post(self, request: Request, slug: str) -> Response:
        """Ask the live model about one picture: a form's `file`, or the picture as the whole
        body. In a project of texts, about one text: as JSON, or as a body of text/plain in UTF-8.

        Capture conditions may come along, at most 8, as further fields of the form or in the query:
        `capture[line]=3`. A name has small letters, digits, - or _.
        """
        version = registry.live_version_by_slug(slug) or registry.require_live_version(
            _classifiable(authenticated_user(request), get_object_or_404(Project, slug=slug))
        )
        _classifiable(authenticated_user(request), version.project)
        modality = modalities[version.project.modality]
        modality.check_media_type(request.content_type or "")  # before a parser reads the body
        file = request.FILES.get("file")
        if file is None:
            sentence = str(modality.sentences.send_one)
            raise InvalidInput(sentence, fields={"file": [sentence]})
        # `data` of what is no form is no mapping of fields
        fields = request.data.dict() if isinstance(request.data, QueryDict) else {}
        answer = classification.classify_upload(
            version.project,
            file,
            by=authenticated_user(request),
            live=version,
            given=conditions.submitted_conditions({**request.query_params.dict(), **fields}),
            group=request.POST.get("group") or request.query_params.get("group", ""),
        )
        return Response(render_prediction(answer))


class PredictionsView(PredictionsApiView):
    @extend_schema(
        operation_id="predictions",
        parameters=[
            OpenApiParameter("project", OpenApiTypes.STR, description="A project's slug."),
            OpenApiParameter(
                "verdict",
                OpenApiTypes.STR,
                enum=[*Feedback.Verdict.values, prediction_history.UNANSWERED],
            ),
            OpenApiParameter("category", OpenApiTypes.STR, description="What the model said."),
            OpenApiParameter("since", OpenApiTypes.DATE),
            OpenApiParameter("until", OpenApiTypes.DATE, description="This day included."),
            OpenApiParameter(
                "before", OpenApiTypes.INT, description="Follow `next` rather than set this."
            ),
        ],
        responses=documented_responses(PageSerializer, 400),
    )
    def get(self, request: Request) -> Response:
        """List your own predictions, the newest first, page by page."""
        parameters = request.query_params.dict()
        # A form sends fields that are empty; by the description they are no day and no number
        for name in ("since", "until", "before"):
            if parameters.get(name) == "":
                sentence = _("Please leave out a parameter rather than send it empty.")
                raise InvalidInput(sentence, fields={name: [sentence]})
        page = prediction_history.history_page(
            authenticated_user(request), prediction_history.parse_filters(parameters)
        )
        prefetch_related_objects(page.rows, "sample__conditions")
        following = None
        if page.next_key:
            following = request.build_absolute_uri(
                f"?{urlencode(parameters | {'before': str(page.next_key)})}"
            )
        return Response(
            {"next": following, "results": PredictionSerializer(page.rows, many=True).data}
        )


class PredictionView(PredictionsApiView):
    @extend_schema(
        operation_id="prediction", responses=documented_responses(PredictionSerializer, 404)
    )
    def get(self, request: Request, uuid: UUID) -> Response:
        """Retrieve a prediction."""
        return Response(PredictionSerializer(_own(authenticated_user(request), uuid)).data)


class FeedbackView(PredictionsApiView):
    parser_classes = (LimitedJSONParser,)

    @extend_schema(
        operation_id="feedback",
        request=VerdictSerializer,
        responses=documented_responses(FeedbackSerializer, 400, 404, 409, 413, 415),
    )
    def post(self, request: Request, uuid: UUID) -> Response:
        """Say whether a prediction of yours is right. Once a NOK is answered, its picture is
        safe.
        """
        user = authenticated_user(request)
        prediction = _own(user, uuid)
        if not isinstance(request.data, dict):
            raise ValidationError(_("Send an object with a verdict."))
        verdict = VerdictSerializer(data=request.data)
        verdict.is_valid(raise_exception=True)
        given = feedback.give_feedback(
            prediction,
            verdict.validated_data["verdict"],
            by=user,
            category=verdict.validated_data.get("category") or "",
        )
        return Response(FeedbackSerializer(given).data)


def authenticated_user(request: Request) -> User:
    """Return the user behind a token or a session."""
    # For the types: the permissions have seen to it that there is one.
    if not isinstance(request.user, User):
        raise Http404
    return request.user


def _classifiable(user: User, project: Project) -> Project:
    """Return a project that a user may classify in. Raises Http404 or PermissionDenied."""
    if project_access.is_hidden(user, project):
        raise Http404
    if not project_access.may(user, roles.CLASSIFY, project):
        raise PermissionDenied
    return project


def _own(user: User, uuid: UUID) -> Prediction:
    verdicts = Prefetch(
        "feedback", Feedback.objects.filter(user=user).select_related("category"), "own_feedback"
    )
    mine = Prediction.objects.visible_to(user).select_related(*prediction_history.RELATED_FIELDS)
    return get_object_or_404(mine.prefetch_related(verdicts, "sample__conditions"), uuid=uuid)


urlpatterns = [
    path("projects/", ProjectsView.as_view(), name="projects"),
    path("projects/<slug:slug>/predict", PredictView.as_view(), name="predict"),
    path("predictions/", PredictionsView.as_view(), name="predictions"),
    path("predictions/<uuid:uuid>/", PredictionView.as_view(), name="prediction"),
    path("predictions/<uuid:uuid>/feedback", FeedbackView.as_view(), name="feedback"),
]

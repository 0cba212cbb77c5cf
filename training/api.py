"""The API of this app: which pictures to label next, and labelling them, for programs."""

from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import roles
from common.numbers import natural_number
from predictions.api import authenticated_user, documented_responses
from predictions.categories import MAX_NAME
from predictions.models import Project
from predictions.parsers import LimitedJSONParser
from predictions.serializers import ScoreSerializer
from training.pool import labelling, proposals

MOST = 100  # proposals at once


class MayReview(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.has_perm(roles.REVIEW)


class ProposalSerializer(serializers.Serializer):
    """A picture without a label."""

    sample = serializers.UUIDField()
    picture = serializers.URLField()
    is_drawn = serializers.BooleanField(
        help_text="At random, for validation or test; otherwise chosen for what it would teach."
    )
    scores = ScoreSerializer(
        many=True, help_text="What the live model said when the pool was ranked; may be empty."
    )


class ProposalsSerializer(serializers.Serializer):
    """What to label next, in this order."""

    ranked_at = serializers.DateTimeField(
        allow_null=True, help_text="null: nothing was ranked yet."
    )
    pool = serializers.IntegerField(help_text="How many pictures had no label then.")
    results = ProposalSerializer(many=True)


class LabelSerializer(serializers.Serializer):
    """Pictures that all show one category; a name that is no category yet becomes one."""

    samples = serializers.ListField(
        child=serializers.UUIDField(), allow_empty=False, max_length=MOST
    )
    category = serializers.CharField(max_length=MAX_NAME)


class LabelledSerializer(serializers.Serializer):
    labelled = serializers.IntegerField(
        help_text="How many; the others were decided by somebody else in the meantime."
    )


class ProposalsView(APIView):
    permission_classes = (IsAuthenticated, MayReview)
    parser_classes = (LimitedJSONParser,)

    @extend_schema(
        operation_id="proposals",
        parameters=[OpenApiParameter("limit", OpenApiTypes.INT, description=f"At most {MOST}.")],
        responses=documented_responses(ProposalsSerializer, 404),
    )
    def get(self, request: Request, slug: str) -> Response:
        """List the pictures without a label that are worth one first; for reviewers."""
        project = _project(slug)
        limit = natural_number(request.query_params.get("limit", ""), most=MOST) or MOST
        ranking = proposals.newest_ranking(project)
        rows: list[dict[str, Any]] = []
        if ranking:
            left = proposals.open_proposals(ranking, authenticated_user(request), limit=limit)
            rows = [_render(request, answer) for answer in proposals.with_answers(ranking, left)]
        return Response(
            {
                "ranked_at": ranking.created_at if ranking else None,
                "pool": ranking.pool if ranking else 0,
                "results": rows,
            }
        )

    @extend_schema(
        operation_id="label",
        request=LabelSerializer,
        responses=documented_responses(LabelledSerializer, 400, 404, 413, 415),
    )
    def post(self, request: Request, slug: str) -> Response:
        """Decide what pictures of the project show, as on the page “Label next”; for reviewers."""
        project = _project(slug)
        sent = LabelSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        done = labelling.decide(
            project,
            [str(uuid) for uuid in sent.validated_data["samples"]],
            "name",
            name=sent.validated_data["category"],
            by=authenticated_user(request),
        )
        return Response({"labelled": len(done.decisions)})


def _render(request: Request, answer: proposals.ProposalAnswer) -> dict[str, Any]:
    sample = answer.proposal.sample
    return {
        "sample": str(sample.uuid),
        "picture": request.build_absolute_uri(reverse("predictions:picture", args=[sample.uuid])),
        "is_drawn": answer.proposal.is_drawn,
        "scores": [{"category": name, "probability": value} for name, value in answer.scores],
    }


def _project(slug: str) -> Project:
    return get_object_or_404(Project, slug=slug, modality=Project.Modality.IMAGE)


urlpatterns = [path("projects/<slug:slug>/proposals", ProposalsView.as_view(), name="proposals")]

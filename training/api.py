"""The API of this app, by the same functions as the pages: what to label next, data set versions,
and provenance.
"""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import roles
from common.errors import InvalidInput
from common.numbers import natural_number
from predictions.api import (
    InItsProject,
    PredictionsApiView,
    authenticated_user,
    documented_responses,
)
from predictions.categories import MAX_NAME
from predictions.models import Project
from predictions.parsers import LimitedJSONParser
from predictions.serializers import ScoreSerializer
from training.data import dataset_diff
from training.data.dataset_diff import Change
from training.evaluation import paired_answers
from training.models import DatasetVersion
from training.pool import labelling, proposals
from training.provenance import answers
from training.serializers import (
    DatasetSerializer,
    DifferenceSerializer,
    OriginSerializer,
    render_difference,
    render_origin,
)

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
    permission_classes = (IsAuthenticated, InItsProject, MayReview)
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


class MayTrain(BasePermission):
    """Maintainers may."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.has_perm(roles.TRAIN)


class TrainingApiView(APIView):
    permission_classes = (IsAuthenticated, InItsProject, MayTrain)


class DatasetsView(TrainingApiView):
    @extend_schema(
        operation_id="data_sets", responses=documented_responses(DatasetSerializer(many=True), 404)
    )
    def get(self, request: Request, slug: str) -> Response:
        """List the data set versions of a project, the newest first."""
        project = get_object_or_404(Project, slug=slug)
        return Response(DatasetSerializer(project.datasets.all(), many=True).data)


class DifferenceView(TrainingApiView):
    @extend_schema(
        operation_id="data_set_difference",
        parameters=[
            OpenApiParameter(
                "kind", OpenApiTypes.STR, enum=[*Change], description="Which samples to list."
            ),
            OpenApiParameter(
                "after", OpenApiTypes.INT, description="Follow `next` rather than set this."
            ),
        ],
        responses=documented_responses(DifferenceSerializer, 400, 404),
    )
    def get(self, request: Request, slug: str, older: int, newer: int) -> Response:
        """Compare two data set versions: counts, and page by page the samples of one `kind`."""
        versions = DatasetVersion.objects.select_related("project").filter(project__slug=slug)
        first, second = (get_object_or_404(versions, number=each) for each in (older, newer))
        kind = request.query_params.get("kind") or Change.ADDED
        if kind not in list(Change):
            sentence = _("There is no such kind of change. There are: %(known)s.")
            sentence %= {"known": ", ".join(Change)}
            raise InvalidInput(sentence, fields={"kind": [sentence]})
        after = natural_number(request.query_params.get("after", ""))
        page = dataset_diff.change_page(first, second, Change(kind), after=after)
        pair = paired_answers.pair_datasets(first, second)
        following = None
        if page.next_key:
            query = urlencode({"kind": kind, "after": page.next_key})
            following = request.build_absolute_uri(f"?{query}")
        counts = dataset_diff.count_changes(first, second)
        rows = [(row, pair.flip_of(row.sample.pk) if pair else "") for row in page.rows]
        return Response(render_difference(counts, pair, rows, following))


class OriginView(PredictionsApiView):
    @extend_schema(operation_id="origin", responses=documented_responses(OriginSerializer, 404))
    def get(self, request: Request, uuid: UUID) -> Response:
        """Retrieve where an answer comes from: its model, the data set that taught it, the training
        samples most like it, and who decided what. Of your own predictions; reviewers, of all.

        The first call has a worker search those samples: ask again while `nearest.state` is
        `searching`.
        """
        user = authenticated_user(request)
        found = answers.traceable_by(user).select_related("sample", "model_version__project")
        traced = answers.trace_answer(get_object_or_404(found, uuid=uuid), by=user)
        return Response(render_origin(traced, with_names=user.has_perm(roles.REVIEW)))


urlpatterns = [
    path("projects/<slug:slug>/proposals", ProposalsView.as_view(), name="proposals"),
    path("projects/<slug:slug>/data-sets/", DatasetsView.as_view(), name="data_sets"),
    path(
        "projects/<slug:slug>/data-sets/<int:older>/difference/<int:newer>/",
        DifferenceView.as_view(),
        name="data_set_difference",
    ),
    path("predictions/<uuid:uuid>/origin/", OriginView.as_view(), name="origin"),
]

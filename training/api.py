"""The API of this app: data set versions and provenance, by the same functions as the pages."""

from urllib.parse import urlencode
from uuid import UUID

from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import roles
from common.errors import InvalidInput
from common.numbers import natural_number
from predictions.api import PredictionsApiView, authenticated_user, documented_responses
from predictions.models import Project
from training.data import dataset_diff
from training.data.dataset_diff import Change
from training.evaluation import paired_answers
from training.models import DatasetVersion
from training.provenance import answers
from training.serializers import (
    DatasetSerializer,
    DifferenceSerializer,
    OriginSerializer,
    render_difference,
    render_origin,
)


class MayTrain(BasePermission):
    """Maintainers may."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.has_perm(roles.TRAIN)


class TrainingApiView(APIView):
    permission_classes = (IsAuthenticated, MayTrain)


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
    path("projects/<slug:slug>/data-sets/", DatasetsView.as_view(), name="data_sets"),
    path(
        "projects/<slug:slug>/data-sets/<int:older>/difference/<int:newer>/",
        DifferenceView.as_view(),
        name="data_set_difference",
    ),
    path("predictions/<uuid:uuid>/origin/", OriginView.as_view(), name="origin"),
]

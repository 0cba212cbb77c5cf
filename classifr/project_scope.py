"""Which project an address is about, so that each page answers by what one may do in it.

A page needs nothing for it: before any view runs, `ProjectScopeMiddleware` finds the project,
answers 404 where it is hidden from the user, and has `has_perm` answer for it. An address with a
slug names its project; what names an object has a line here. `classifr/tests/test_members.py`
fails for a new address that has none.
"""

from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from accounts import roles
from accounts.models import User
from accounts.queries import site_permissions
from customvision.models import ImportedProject
from notifications.models import Notification
from predictions import project_access
from predictions.models import Batch, Category, ModelVersion, Prediction, Sample
from training.models import DatasetVersion, Sweep, TrainingRun

_NAMED: dict[type[Model], tuple[str, ...]] = {
    Prediction: (
        "predictions:detail",
        "predictions:feedback",
        "predictions:explanation",
        "predictions:heat",
        "training:origin",
    ),
    Batch: (
        "predictions:batch",
        "predictions:add_file",
        "predictions:verdicts",
        "predictions:batch_csv",
        "predictions:go_on",
    ),
    Sample: (
        "predictions:picture",
        "predictions:thumbnail",
        "demo_drawing",
        "review:sample",
        "review:decide",
        "review:heat",
        "training:sample_uses",
        "training:misled_answers",
    ),
    TrainingRun: (
        "training:run",
        "training:run_progress",
        "training:matrix",
        "training:cancel",
        "training:repeat",
        "training:use_threshold",
        "training:promote_by_gate",
    ),
    Sweep: ("training:sweep", "training:cancel_sweep"),
    DatasetVersion: ("training:dataset", "training:export", "training:overruled"),
    ModelVersion: (
        "training:promote",
        "training:downloads",
        "training:download",
        "training:start_shadow",
    ),
    Notification: ("notifications:open",),
    Category: (
        "training:pictures",
        "training:rename",
        "training:move",
        "training:merge",
        "training:delete_category",
    ),
    ImportedProject: (
        "importer:import_detail",
        "importer:import_progress",
        "importer:cancel_import",
    ),
}
OBJECTS = {name: model for model, names in _NAMED.items() for name in names}
# Pages about many projects, which narrow their rows by `project_access.within`: open to those who
# may do it in one of them
LISTS = frozenset(
    [
        "predictions:history",
        "review:queue",
        "review:alike",
        "review:decide_group",
        "review:undo_group",
        "review:more",
        "review:renew",
        "review:leave",
        "review:history",
        "review:undo",
        "review:unskip",
        "training:overview",
    ]
)
_IN_LISTS = (roles.CLASSIFY, roles.REVIEW, roles.TRAIN)


class ProjectScopeMiddleware:
    """Gives each request about a project the rights that its user has there."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self,
        request: HttpRequest,
        view: Callable[..., HttpResponseBase],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        match = request.resolver_match
        # Programs come with a token, which their view reads; it sees to its project by itself
        if match is None or match.namespaces[:1] == ["api"]:
            return
        name, slug = match.view_name, kwargs.get("slug")
        if not (slug or name in OBJECTS or name in LISTS):
            return
        user = request.user
        if not isinstance(user, User):
            return
        if slug:
            project_access.enter_by(user, slug=slug)
        elif name in LISTS:
            _enter_many(user)
        else:
            rows = OBJECTS[name]._base_manager.filter(**_key(kwargs))
            project_access.enter_project_of(user, rows)


def _key(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: kwargs[name] for name in ("pk", "uuid") if name in kwargs}


def _enter_many(user: User) -> None:
    if user.is_superuser or not project_access.particulars(user):
        return
    somewhere = {each for each in _IN_LISTS if project_access.may_somewhere(user, each)}
    user.rights_here = site_permissions(user) | somewhere

"""Predictions that clients had stored: querying and deleting them."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from accounts import roles
from common.numbers import natural_number
from customvision.api import image_deletion, iterations, responses
from customvision.api.api_request import ApiRequest, get_list, get_member, parse_moment, parse_uuids
from customvision.api.errors import ApiError
from customvision.api.projects import workspace_of
from customvision.api.routing import NO_CONTENT, Reply, register_operation
from predictions.models import Prediction, Project

PREDICTIONS = "projects/{projectId}/predictions"
MAX_RESULTS = 256
MAX_LOOKED_AT = 5000  # by one request, however few of them are within its limits
MAX_IDS = 64
_NUMBER = (float, int)
Limits = dict[UUID, tuple[float, float]]


@register_operation("QueryPredictions", "POST", f"{PREDICTIONS}/query", roles.TRAIN)
def query_predictions(call: ApiRequest) -> Reply:
    """Return a page of stored predictions; the token of one page leads to the next."""
    project, token = call.project, call.json()
    most = get_member(token, "maxCount", int, 0) or MAX_RESULTS
    if not 0 < most <= MAX_RESULTS:
        raise ApiError(
            "BadRequestPredictionResultsExceededCount", f"maxCount may be at most {MAX_RESULTS}."
        )
    known = {one.version.pk: one for one in iterations.project_iterations(project) if one.version}
    ids = {key: responses.tag_ids(one.version) for key, one in known.items() if one.version}
    workspace = workspace_of(project)
    results: list[Prediction] = []
    following = ""
    limits, last = _limits(token), 0
    for number, one in enumerate(_wanted(project, token, ids)):
        if len(results) == most or number == MAX_LOOKED_AT:
            # Clients follow the token until it is empty, so a page may have fewer than asked for
            following = str(last)
            break
        if _is_within(one, limits, ids[one.model_version_id]):
            results.append(one)
        last = one.pk
    return Reply(
        {
            "token": _answered(token, following, most),
            "results": [
                responses.stored_prediction(
                    call,
                    one,
                    of=workspace,
                    iteration_id=known[one.model_version_id].uuid,
                    ids=ids[one.model_version_id],
                )
                for one in results
            ],
        }
    )


@register_operation("DeletePrediction", "DELETE", PREDICTIONS, roles.REVIEW)
def delete_predictions(call: ApiRequest) -> Reply:
    ids = call.uuids("ids", MAX_IDS)
    if not ids:
        raise ApiError("BadRequestPredictionIdsMissing", "ids is required.")
    for one in stored_predictions_of(call.project).filter(uuid__in=ids):
        image_deletion.remove_prediction(one)
    return NO_CONTENT


def stored_predictions_of(project: Project) -> QuerySet[Prediction]:
    return Prediction.objects.filter(project=project, stored__isnull=False).select_related(
        "sample", "stored"
    )


def _wanted(
    project: Project, token: dict[str, Any], ids: dict[int, dict[str, UUID]]
) -> Iterator[Prediction]:
    """Return what a query may mean, in its order, from where the last page ended."""
    # Limits on scores are left to the caller: they are JSON, which no index helps to search
    rows = (
        stored_predictions_of(project)
        .filter(model_version__in=list(ids))
        .exclude(sample__location="nowhere")
    )
    if begin := parse_moment(token, "startTime"):
        rows = rows.filter(created_at__gte=begin)
    if end := parse_moment(token, "endTime"):
        rows = rows.filter(created_at__lte=end)
    if application := get_member(token, "application", str, ""):
        rows = rows.filter(stored__application=application)
    if text := get_member(token, "iterationId", str, ""):
        iteration = iterations.get_iteration_by_id(
            project, parse_uuids([text], "iterationId", 1)[0]
        )
        rows = rows.filter(model_version=iteration.version)
    is_oldest_first = get_member(token, "orderBy", str, "").lower() == "oldest"
    if continuation := get_member(token, "continuation", str, ""):
        last = natural_number(continuation)
        if last is None:
            raise ApiError(
                "BadRequestPredictionInvalidQueryParameters", "This continuation is none of ours."
            )
        rows = rows.filter(pk__gt=last) if is_oldest_first else rows.filter(pk__lt=last)
    # One more than a request looks at shows that there is a next page
    return rows.order_by("pk" if is_oldest_first else "-pk")[: MAX_LOOKED_AT + 1].iterator(
        MAX_RESULTS
    )


def _limits(token: dict[str, Any]) -> Limits:
    limits = {}
    for entry in get_list(token, "tags", dict):
        id_ = parse_uuids([get_member(entry, "id", str, "")], "id", 1)[0]
        least, most = (
            get_member(entry, "minThreshold", _NUMBER, 0),
            get_member(entry, "maxThreshold", _NUMBER, 1),
        )
        limits[id_] = (_within_one(least), _within_one(most))
    return limits


def _within_one(limit: float) -> float:
    return float(min(max(limit, 0), 1))


def _is_within(one: Prediction, limits: Limits, ids: dict[str, UUID]) -> bool:
    """Say whether one of the tags asked for has a probability within its limits."""
    if not limits:
        return True
    for name, probability in one.scores.items():
        # (2, -1): no probability is within the limits of a tag that was not asked for
        least, most = limits.get(ids.get(name, one.uuid), (2.0, -1.0))
        if least <= probability <= most:
            return True
    return False


def _answered(token: dict[str, Any], following: str, most: int) -> dict[str, Any]:
    """Return the token for the next page; its `continuation` is empty after the last one."""
    answer: dict[str, Any] = {
        "session": get_member(token, "session", str, ""),
        "continuation": following,
        "maxCount": most,
        "orderBy": "Oldest"
        if get_member(token, "orderBy", str, "").lower() == "oldest"
        else "Newest",
        "tags": [
            {"id": str(id_), "minThreshold": least, "maxThreshold": greatest}
            for id_, (least, greatest) in _limits(token).items()
        ],
        "iterationId": get_member(token, "iterationId", str, "") or None,
        "application": get_member(token, "application", str, ""),
    }
    for name in ("startTime", "endTime"):
        at = parse_moment(token, name)
        answer[name] = responses.format_moment(at) if at else None
    return answer

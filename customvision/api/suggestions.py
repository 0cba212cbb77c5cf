"""Suggested images: untagged ones that were proposed for a label, with what the model says of them.

They are what Classifr's page "Label next" proposes, as far as they are images to a client, with the
scores of the model that was live when the pool was ranked. For another iteration there are none.
"""

from collections import Counter
from typing import Any
from uuid import UUID

import numpy as np

from accounts import roles
from customvision.api import image_queries, iterations, picture_links, responses
from customvision.api.api_request import ApiRequest, get_list, get_member, parse_uuids
from customvision.api.errors import ApiError
from customvision.api.images import IMAGES
from customvision.api.projects import workspace_of
from customvision.api.routing import Reply, register_operation
from customvision.models import Iteration
from training.models import Proposal
from training.pool import proposals, ranking

MAX_RESULTS = 256
_NUMBER = (float, int)


@register_operation(
    "QuerySuggestedImages", "POST", f"{IMAGES}/suggested", roles.TRAIN, since=(3, 1)
)
def query_suggested(call: ApiRequest) -> Reply:
    """Return the images whose suggested tags are asked for; a page holds all, so none follows."""
    iteration, token = _iteration(call), call.json()
    most = get_member(token, "maxCount", int, 0) or MAX_RESULTS
    if not 0 < most <= MAX_RESULTS:
        raise ApiError("BadRequest", f"maxCount may be at most {MAX_RESULTS}.")
    wanted, threshold = _filter(token)
    order = get_member(token, "sortBy", str, "")
    found = [
        (proposal, scores)
        for proposal, scores in _suggested(call, iteration)
        if any(value >= threshold and (not wanted or tag in wanted) for tag, value in scores)
    ]
    uncertain = {proposal.pk: _uncertainty(scores) for proposal, scores in found}
    if order in ("UncertaintyAscending", "UncertaintyDescending"):
        found.sort(key=lambda one: uncertain[one[0].pk], reverse=order.endswith("Descending"))
    names = {tag: name for name, tag in _tag_ids(iteration).items()}
    workspace = workspace_of(call.project)
    results = [
        {
            "id": str(proposal.sample.uuid),
            "project": str(call.project.uuid),
            "iteration": str(iteration.uuid),
            "domain": str(workspace.domain),
            "created": responses.format_moment(proposal.ranking.created_at),
            "width": proposal.sample.width,
            "height": proposal.sample.height,
            **picture_links.signed_urls(call.request, proposal.sample),
            "predictions": responses.scores(
                [(names[tag], value) for tag, value in scores],
                _tag_ids(iteration),
                with_type=call.version >= (3, 3),
            ),
            "predictionUncertainty": uncertain[proposal.pk],
        }
        for proposal, scores in found[:most]
    ]
    answered = {
        "tagIds": [str(tag) for tag in wanted],
        "threshold": threshold,
        "session": get_member(token, "session", str, ""),
        "continuation": "",
        "maxCount": most,
        "sortBy": order or "UncertaintyDescending",
    }
    return Reply({"token": answered, "results": results})


@register_operation(
    "QuerySuggestedImageCount", "POST", f"{IMAGES}/suggested/count", roles.TRAIN, since=(3, 1)
)
def count_suggested(call: ApiRequest) -> Reply:
    """Return of how many images each of the tags is suggested."""
    iteration = _iteration(call)
    wanted, threshold = _filter(call.json())
    counts = Counter(
        tag
        for _proposal, scores in _suggested(call, iteration)
        for tag, value in scores
        if value >= threshold
    )
    return Reply({str(tag): counts[tag] for tag in wanted or counts})


def _iteration(call: ApiRequest) -> Iteration:
    call.required("iterationId")
    found = iterations.requested_iteration(call)
    if found is None:
        raise ApiError("NotFoundIteration", "Invalid iteration")
    return found


def _filter(body: dict[str, Any]) -> tuple[list[UUID], float]:
    wanted = parse_uuids(get_list(body, "tagIds", str), "tagIds", MAX_RESULTS)
    return wanted, float(get_member(body, "threshold", _NUMBER, 0))


def _suggested(
    call: ApiRequest, iteration: Iteration
) -> list[tuple[Proposal, list[tuple[UUID, float]]]]:
    """Return the proposals that are untagged images, each with its scores by tag."""
    found = proposals.newest_ranking(call.project)
    if found is None or iteration.version is None or found.model_version != iteration.version:
        return []
    left = [each for each in proposals.open_proposals(found) if each.scores]
    images = set(
        image_queries.current_images(call.project)
        .filter(pk__in=[each.sample_id for each in left], tag_id=None)
        .values_list("pk", flat=True)
    )
    ids = _tag_ids(iteration)
    return [
        (answer.proposal, [(ids[name], value) for name, value in answer.scores])
        for answer in proposals.with_answers(found, left)
        if answer.proposal.sample_id in images
    ]


def _tag_ids(iteration: Iteration) -> dict[str, UUID]:
    return responses.tag_ids(iteration.version) if iteration.version else {}


def _uncertainty(scores: list[tuple[UUID, float]]) -> float:
    """Return the entropy, as the service does."""
    return float(ranking.entropies(np.array([[value for _tag, value in scores]]))[0])

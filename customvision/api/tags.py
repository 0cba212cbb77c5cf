"""Tags: the categories of a project."""

from collections import Counter
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from accounts import roles
from common.errors import Conflict, InvalidInput
from customvision.api import image_queries, iterations, responses
from customvision.api.api_request import ApiRequest, get_member
from customvision.api.errors import ApiError, not_implemented
from customvision.api.routing import NO_CONTENT, Reply, register_operation
from customvision.models import RetiredTag
from predictions import categories
from predictions.models import Category, Project
from training.lifecycle import category_removal

TAGS = "projects/{projectId}/tags"


@register_operation("GetTags", "GET", TAGS, roles.TRAIN)
def get_tags(call: ApiRequest) -> Reply:
    project, counts = call.project, _counts(call)
    if call.text("iterationId"):
        # The tags of then: one that was deleted since is among them
        found = Category.everywhere.filter(project=project, uuid__in=counts).order_by("name")
    else:
        found = project_tags(project).order_by("name")
    return Reply([responses.tag(one, counts[one.uuid]) for one in found])


@register_operation("GetTag", "GET", f"{TAGS}/{{tagId}}", roles.TRAIN)
def get_tag(call: ApiRequest) -> Reply:
    one = _named(call)
    return Reply(responses.tag(one, _counts(call)[one.uuid]))


@register_operation("CreateTag", "POST", TAGS, roles.MANAGE_CATEGORIES)
@transaction.atomic
def create_tag(call: ApiRequest) -> Reply:
    _refuse_type(call.text("type"))
    name, description = call.required("name"), call.text("description")
    try:
        category, created = categories.add_category(call.project, name, description)
    except InvalidInput as error:
        raise ApiError("BadRequestTagName", str(error)) from error
    # An earlier version hid a deleted tag from clients alone
    retired, _rows = RetiredTag.objects.filter(category=category).delete()
    if not created:
        if not retired:
            raise _not_unique()
        category = _rename(category, name)
        category.description = description.strip()
        category.save(update_fields=["description"])
    return Reply(responses.tag(category, 0))


@register_operation("UpdateTag", "PATCH", f"{TAGS}/{{tagId}}", roles.MANAGE_CATEGORIES)
@transaction.atomic
def update_tag(call: ApiRequest) -> Reply:
    category, body = _named(call), call.json()
    _refuse_type(get_member(body, "type", str, ""))
    name = get_member(body, "name", str, category.name)
    if name != category.name:
        category = _rename(category, name)
    category.description = get_member(body, "description", str, category.description)
    category.save(update_fields=["description"])
    return Reply(responses.tag(category, _counts(call)[category.uuid]))


@register_operation("DeleteTag", "DELETE", f"{TAGS}/{{tagId}}", roles.MANAGE_CATEGORIES)
def delete_tag(call: ApiRequest) -> Reply:
    """Untag its images, then delete its category, or hide it if past decisions need it."""
    category_removal.delete_category(_named(call), by=call.user)
    return NO_CONTENT


def project_tags(project: Project) -> QuerySet[Category]:
    """Return a project's tags, without those that were deleted here."""
    return Category.objects.filter(project=project, retired=None)


def get_tags_by_id(project: Project, ids: list[UUID]) -> list[Category]:
    """Return these tags of a project. Raises ApiError if one is not there."""
    found = list(project_tags(project).filter(uuid__in=ids))
    if len(found) != len(set(ids)):
        raise ApiError("NotFoundTag", "Invalid tag")
    return found


def _named(call: ApiRequest) -> Category:
    return get_tags_by_id(call.project, [call.uuid("tagId", "NotFoundTag")])[0]


def _counts(call: ApiRequest) -> Counter[UUID]:
    """Return how many images each tag has, now or in an iteration's data set."""
    iteration = iterations.requested_iteration(call)
    if iteration and iteration.run is None:
        return Counter()  # a version that was not trained here has no data set of ours
    return image_queries.count_by_tag(
        call.project, iteration.run.dataset if iteration and iteration.run else None
    )


def _rename(category: Category, name: str) -> Category:
    try:
        return categories.rename_category(category, name)
    except Conflict as error:
        raise _not_unique() from error
    except InvalidInput as error:
        raise ApiError("BadRequestTagName", str(error)) from error


def _not_unique() -> ApiError:
    return ApiError("BadRequestTagNameNotUnique", "The tag name is not unique.")


def _refuse_type(tag_type: str) -> None:
    if tag_type.lower() in ("negative", "generalproduct"):
        raise not_implemented(
            f"tags of the type {tag_type}. Make a Regular tag for what is none of the others"
        )
    if tag_type.lower() not in ("", "regular"):
        raise ApiError("BadRequestTagType", "Unknown tag type")

"""Tags: the categories of a project."""

from collections import Counter
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from accounts import roles
from common.errors import Conflict, InvalidInput
from common.models import Job
from customvision.api import deletion, image_queries, iterations, responses
from customvision.api.api_request import Call, member
from customvision.api.errors import Fault, not_implemented
from customvision.api.routing import NO_CONTENT, Reply, operation
from customvision.models import RetiredTag
from predictions import categories
from predictions.models import Category, Project

TAGS = "projects/{projectId}/tags"


@operation("GetTags", "GET", TAGS, roles.TRAIN)
def get_tags(call: Call) -> Reply:
    project, counts = call.project, _counts(call)
    if call.text("iterationId"):
        found = Category.objects.filter(project=project, uuid__in=counts).order_by("name")
    else:
        found = of(project).order_by("name")
    return Reply([responses.tag(one, counts[one.uuid]) for one in found])


@operation("GetTag", "GET", f"{TAGS}/{{tagId}}", roles.TRAIN)
def get_tag(call: Call) -> Reply:
    one = _named(call)
    return Reply(responses.tag(one, _counts(call)[one.uuid]))


@operation("CreateTag", "POST", TAGS, roles.MANAGE_CATEGORIES)
@transaction.atomic
def create_tag(call: Call) -> Reply:
    _refuse_type(call.text("type"))
    name, description = call.required("name"), call.text("description")
    try:
        category, created = categories.add(call.project, name, description)
    except InvalidInput as error:
        raise Fault("BadRequestTagName", str(error)) from error
    if not created:
        if Job.objects.active().filter(key=deletion.tag_key(category)).exists():
            raise Conflict("The tag of this name is still being deleted. Try again in a moment.")
        retired, _rows = RetiredTag.objects.filter(category=category).delete()
        if not retired:
            raise _not_unique()
        category = _rename(category, name)
        category.description = description.strip()
        category.save(update_fields=["description"])
    return Reply(responses.tag(category, 0))


@operation("UpdateTag", "PATCH", f"{TAGS}/{{tagId}}", roles.MANAGE_CATEGORIES)
@transaction.atomic
def update_tag(call: Call) -> Reply:
    category, body = _named(call), call.json()
    _refuse_type(member(body, "type", str, ""))
    name = member(body, "name", str, category.name)
    if name != category.name:
        category = _rename(category, name)
    category.description = member(body, "description", str, category.description)
    category.save(update_fields=["description"])
    return Reply(responses.tag(category, _counts(call)[category.uuid]))


@operation("DeleteTag", "DELETE", f"{TAGS}/{{tagId}}", roles.MANAGE_CATEGORIES)
def delete_tag(call: Call) -> Reply:
    """Untag its images, and delete the category, or hide it here where past rulings and data sets point at it."""
    deletion.remove_tag(_named(call), by=call.user)
    return NO_CONTENT


def of(project: Project) -> QuerySet[Category]:
    """Return a project's tags, without those that were deleted here."""
    return Category.objects.filter(project=project, retired=None)


def by_ids(project: Project, ids: list[UUID]) -> list[Category]:
    """Return these tags of a project. Raises Fault if one is not there."""
    found = list(of(project).filter(uuid__in=ids))
    if len(found) != len(set(ids)):
        raise Fault("NotFoundTag", "Invalid tag")
    return found


def _named(call: Call) -> Category:
    found = by_ids(call.project, [call.uuid("tagId", "NotFoundTag")])[0]
    return found


def _counts(call: Call) -> Counter[UUID]:
    """Return how many images each tag has, now or in an iteration's data set."""
    iteration = iterations.asked_for(call)
    if iteration and iteration.run is None:
        return Counter()
    return image_queries.tag_counts(call.project, iteration.run.dataset if iteration and iteration.run else None)


def _rename(category: Category, name: str) -> Category:
    try:
        return categories.rename(category, name)
    except Conflict as error:
        raise _not_unique() from error
    except InvalidInput as error:
        raise Fault("BadRequestTagName", str(error)) from error


def _not_unique() -> Fault:
    return Fault("BadRequestTagNameNotUnique", "The tag name is not unique.")


def _refuse_type(tag_type: str) -> None:
    if tag_type.lower() in ("negative", "generalproduct"):
        raise not_implemented(f"tags of the type {tag_type}. Make a Regular tag for what is none of the others")
    if tag_type.lower() not in ("", "regular"):
        raise Fault("BadRequestTagType", "Unknown tag type")

"""Domains and projects."""

from uuid import UUID, uuid4

from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from accounts import roles
from common.errors import Conflict, InvalidInput
from common.names import comparison_key
from customvision.api import deletion, image_queries, responses
from customvision.api.api_request import ApiRequest, get_member
from customvision.api.errors import ApiError
from customvision.api.routing import NO_CONTENT, Reply, register_operation
from customvision.domains import DOMAINS, GENERAL, Domain
from customvision.models import Workspace
from predictions import categories, project_access, projects
from predictions.models import Project


@register_operation("GetDomains", "GET", "domains", roles.TRAIN)
def get_domains(call: ApiRequest) -> Reply:
    return Reply([responses.domain(call, one) for one in DOMAINS.values()])


@register_operation("GetDomain", "GET", "domains/{domainId}", roles.TRAIN)
def get_domain(call: ApiRequest) -> Reply:
    one = DOMAINS.get(call.uuid("domainId", "NotFoundDomain"))
    if one is None:
        raise ApiError("NotFoundDomain", "Invalid domain")
    return Reply(responses.domain(call, one))


@register_operation("GetProjects", "GET", "projects", roles.TRAIN)
def get_projects(call: ApiRequest) -> Reply:
    # The service knows no texts: projects of those are not there for its clients
    own = project_access.within(call.user, roles.TRAIN, "pk")
    found = Project.objects.filter(own, modality=Project.Modality.IMAGE)
    found = found.select_related("workspace").order_by("name")
    return Reply([responses.project(call, one) for one in found])


@register_operation("GetProject", "GET", "projects/{projectId}", roles.TRAIN)
def get_project(call: ApiRequest) -> Reply:
    return Reply(responses.project(call, call.project))


@register_operation("CreateProject", "POST", "projects", roles.MANAGE_CATEGORIES)
@transaction.atomic
def create_project(call: ApiRequest) -> Reply:
    """Create a project, Multilabel unless another type is named, like the service."""
    domain = _domain(call.text("domainId"))
    multilabel = _is_multilabel(call.text("classificationType") or "Multilabel")
    name = _free_name(call.required("name"))
    try:
        project = projects.create_project(name)
    except Conflict:  # another project's name makes the same slug
        project = projects.create_project(
            name, slug=f"{slugify(name)[:50].strip('-')}-{uuid4().hex[:8]}"
        )
    project.description, project.multilabel = call.text("description"), multilabel
    project.save(update_fields=["description", "multilabel"])
    Workspace.objects.create(project=project, domain=domain.id)
    return Reply(responses.project(call, project))


@register_operation("UpdateProject", "PATCH", "projects/{projectId}", roles.MANAGE_CATEGORIES)
@transaction.atomic
def update_project(call: ApiRequest) -> Reply:
    project, body = call.project, call.json()
    settings = get_member(body, "settings", dict, {})
    if wanted := get_member(settings, "classificationType", str, ""):
        _change_type(project, _is_multilabel(wanted))
    workspace = workspace_of(project)
    workspace.domain = _domain(get_member(settings, "domainId", str, str(workspace.domain))).id
    workspace.modified_at = timezone.now()
    workspace.save()
    name = get_member(body, "name", str, project.name)
    if comparison_key(name) != comparison_key(project.name):
        name = _free_name(name)
    if name != project.name:
        project.name = categories.clean_name(name)
    project.description = get_member(body, "description", str, project.description)
    project.save(update_fields=["name", "description"])
    return Reply(responses.project(call, project))


@register_operation("DeleteProject", "DELETE", "projects/{projectId}", roles.MANAGE_CATEGORIES)
def delete_project(call: ApiRequest) -> Reply:
    deletion.delete_project(call.project)
    return NO_CONTENT


def workspace_of(project: Project) -> Workspace:
    """Return a project's workspace; a project made on Classifr's pages gets its own now."""
    workspace, _created = Workspace.objects.get_or_create(project=project)
    workspace.project = project  # saves the query for it
    return workspace


def _domain(text: str) -> Domain:
    try:
        return DOMAINS[UUID(text)] if text else DOMAINS[GENERAL]
    except (ValueError, KeyError) as error:
        raise ApiError(
            "BadRequestProjectUnknownDomain",
            "Unknown domain. Classifr knows the domains of image classification that GetDomains "
            "lists.",
        ) from error


def _is_multilabel(classification_type: str) -> bool:
    if classification_type.lower() not in ("multilabel", "multiclass"):
        raise ApiError("BadRequestProjectUnknownClassification", "Unknown classification type")
    return classification_type.lower() == "multilabel"


def _change_type(project: Project, multilabel: bool) -> None:
    """Change the type of a project that has neither tagged images nor models.

    A tag that an image does not have means "not this one" only in a Multilabel project. Call it in
    a transaction.
    """
    # Locked, so that nothing is trained or frozen while we look
    Project.objects.select_for_update().get(pk=project.pk)
    if multilabel == project.multilabel:
        return
    is_tagged = image_queries.current_images(project).filter(tag_id__isnull=False).exists()
    if is_tagged or project.datasets.exists() or project.model_versions.exists():
        raise ApiError(
            "BadRequest",
            "The classification type can be changed only while the project has no tagged image and "
            "was never trained. "
            "Untag the images, or create another project.",
        )
    project.multilabel = multilabel
    project.save(update_fields=["multilabel"])


def _free_name(name: str) -> str:
    try:
        name = categories.clean_name(name)
    except InvalidInput as error:
        raise ApiError("BadRequestProjectName", str(error)) from error
    if projects.is_name_taken(name):
        raise ApiError("BadRequestProjectNameNotUnique", "The project name is not unique.")
    return name

"""Domains and projects."""

from uuid import UUID, uuid4

from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from accounts import roles
from classifr.common.errors import Conflict, InvalidInput
from classifr.customvision import answers, removal
from classifr.customvision.calls import Call, member
from classifr.customvision.domains import DOMAINS, GENERAL, Domain
from classifr.customvision.faults import Fault, not_implemented
from classifr.customvision.models import Workspace
from classifr.customvision.operations import NO_CONTENT, Reply, operation
from predictions import categories, projects
from predictions.models import Project


@operation("GetDomains", "GET", "domains", roles.TRAIN)
def get_domains(call: Call) -> Reply:
    return Reply([answers.domain(call, one) for one in DOMAINS.values()])


@operation("GetDomain", "GET", "domains/{domainId}", roles.TRAIN)
def get_domain(call: Call) -> Reply:
    one = DOMAINS.get(call.uuid("domainId", "NotFoundDomain"))
    if one is None:
        raise Fault("NotFoundDomain", "Invalid domain")
    return Reply(answers.domain(call, one))


@operation("GetProjects", "GET", "projects", roles.TRAIN)
def get_projects(call: Call) -> Reply:
    found = Project.objects.select_related("workspace").order_by("name")
    return Reply([answers.project(call, one) for one in found])


@operation("GetProject", "GET", "projects/{projectId}", roles.TRAIN)
def get_project(call: Call) -> Reply:
    return Reply(answers.project(call, call.project))


@operation("CreateProject", "POST", "projects", roles.MANAGE_CATEGORIES)
@transaction.atomic
def create_project(call: Call) -> Reply:
    """Make a project. Multiclass is what there is: a project whose type is not named is one."""
    domain = _domain(call.text("domainId"))
    _refuse_type(call.text("classificationType"))
    name = _free_name(call.required("name"))
    try:
        project = projects.create(name)
    except Conflict:  # another project's name makes the same slug
        project = projects.create(name, slug=f"{slugify(name)[:50].strip('-')}-{uuid4().hex[:8]}")
    if description := call.text("description"):
        project.description = description
        project.save(update_fields=["description"])
    Workspace.objects.create(project=project, domain=domain.id)
    return Reply(answers.project(call, project))


@operation("UpdateProject", "PATCH", "projects/{projectId}", roles.MANAGE_CATEGORIES)
@transaction.atomic
def update_project(call: Call) -> Reply:
    project, body = call.project, call.json()
    settings = member(body, "settings", dict, {})
    _refuse_type(member(settings, "classificationType", str, ""))
    workspace = of(project)
    workspace.domain = _domain(member(settings, "domainId", str, str(workspace.domain))).id
    workspace.modified_at = timezone.now()
    workspace.save()
    name = member(body, "name", str, project.name)
    if name != project.name:
        project.name = _free_name(name)
    project.description = member(body, "description", str, project.description)
    project.save(update_fields=["name", "description"])
    return Reply(answers.project(call, project))


@operation("DeleteProject", "DELETE", "projects/{projectId}", roles.MANAGE_CATEGORIES)
def delete_project(call: Call) -> Reply:
    removal.remove_project(call.project)
    return NO_CONTENT


def of(project: Project) -> Workspace:
    """Return a project's workspace; one made in Classifr has none yet."""
    workspace, _created = Workspace.objects.get_or_create(project=project)
    workspace.project = project
    return workspace


def _domain(text: str) -> Domain:
    try:
        return DOMAINS[UUID(text)] if text else DOMAINS[GENERAL]
    except (ValueError, KeyError) as error:
        raise Fault(
            "BadRequestProjectUnknownDomain",
            "Unknown domain. Classifr knows the domains of image classification that GetDomains lists.",
        ) from error


def _refuse_type(classification_type: str) -> None:
    if classification_type.lower() == "multilabel":
        raise not_implemented("Multilabel projects; a picture has one category here. Ask for Multiclass")
    if classification_type.lower() not in ("", "multiclass"):
        raise Fault("BadRequestProjectUnknownClassification", "Unknown classification type")


def _free_name(name: str) -> str:
    try:
        name = categories.clean_name(name)
    except InvalidInput as error:
        raise Fault("BadRequestProjectName", str(error)) from error
    if Project.objects.filter(name=name).exists():
        raise Fault("BadRequestProjectNameNotUnique", "The project name is not unique.")
    return name

"""A remote project becomes a project here, and its tags categories; they keep their ids if free.

So a program that knows the project by its id changes endpoint and keys, and nothing else.
"""

from uuid import UUID

from django.db import transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from accounts import roles
from accounts.models import User
from common.errors import Conflict, InvalidInput
from customvision.importer.service import RemoteProject, RemoteTag
from customvision.models import ImportedProject, ImportedTag
from predictions import categories, project_access, projects
from predictions.models import Category, Project


@transaction.atomic
def map_project(found: RemoteProject, *, endpoint: str, by: User | None) -> ImportedProject:
    """Return the row of a remote project; the first time it creates the project here.

    Raises:
        InvalidInput: for a project that detects objects, or that is private here and not theirs.
    """
    if found.is_detection:
        sentence = _(
            "“%(name)s” is a project for object detection. Classifr classifies whole pictures."
        )
        raise InvalidInput(sentence % {"name": found.name})
    known = (
        ImportedProject.objects.filter(remote_id=found.id).select_related("project", "job").first()
    )
    if known:
        # Who may not see the project that it was imported into adds nothing to it
        if by and not project_access.may(by, roles.MANAGE_CATEGORIES, known.project):
            raise InvalidInput(_("Your role does not allow this."))
        ImportedProject.objects.filter(pk=known.pk).update(endpoint=endpoint, name=found.name[:200])
        return known
    name = projects.free_name(_clean(found.name, str(found.id)))
    try:
        project = projects.create_project(name)
    except Conflict:  # another project's name makes the same slug
        project = projects.create_project(
            name, slug=f"{slugify(name)[:50].strip('-') or 'project'}-{found.id.hex[:8]}"
        )
    project.description = found.description
    project.multilabel = found.classification_type == "Multilabel"
    if not Project.objects.filter(uuid=found.id).exists():
        project.uuid = found.id
    project.save(update_fields=["description", "multilabel", "uuid"])
    return ImportedProject.objects.create(
        project=project,
        remote_id=found.id,
        endpoint=endpoint,
        name=found.name[:200],
        classification_type=found.classification_type,
        requested_by=by,
    )


def map_tags(imported: ImportedProject, found: list[RemoteTag]) -> dict[UUID, Category]:
    """Return the category of each remote tag, creating missing ones.

    Tags that differ in case only become one category. A Negative tag is a category like any other:
    the model learns it as one more answer, “none of these”.
    """
    known = {}
    for one in imported.tags.select_related("category__merged_into"):
        category = one.category.merged_into or one.category
        if category.removed_at:  # deleted here since: who imports it again wants it back
            category, _is_new = categories.add_category(imported.project, category.name)
        known[one.remote_id] = category
    for tag in found:
        if tag.id not in known:
            with transaction.atomic():
                category, is_new = categories.add_category(
                    imported.project, _clean(tag.name, str(tag.id)), tag.description
                )
                if is_new and not Category.everywhere.filter(uuid=tag.id).exists():
                    category.uuid = tag.id
                    category.save(update_fields=["uuid"])
            known[tag.id] = category
            ImportedTag.objects.create(
                imported=imported,
                remote_id=tag.id,
                category=category,
                name=tag.name[:200],
                type=tag.type,
            )
    return known


def _clean(name: str, otherwise: str) -> str:
    """Return a name that we can store: shortened, without invisible characters; or else the id."""
    visible = "".join(letter if letter.isprintable() else " " for letter in name)[
        : categories.MAX_NAME
    ]
    try:
        return categories.clean_name(visible)
    except InvalidInput:
        return otherwise

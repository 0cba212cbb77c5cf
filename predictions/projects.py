"""Projects: making one, putting it aside, and listing them with the model that answers."""

from itertools import chain, count
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import IntegrityError, transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from common.errors import Conflict, InvalidInput
from common.names import comparison_key
from predictions.categories import MAX_NAME, clean_name
from predictions.models import Project, Promotion

MAX_SLUG = 60


def create_project(name: str, slug: str = "", *, modality: str = Project.Modality.IMAGE) -> Project:
    """Make a project, with a slug made from its name unless given.

    The slug is its place in addresses, folders and commands. What it classifies is chosen here for
    good: samples of one kind are none of another.

    Raises:
        InvalidInput: if the name, the slug or the modality cannot be used.
        Conflict: if the name or the slug is taken.
    """
    name = clean_name(name)
    if modality not in Project.Modality.values:
        sentence = _("Please choose what the project classifies: %(kinds)s.")
        kinds = ", ".join(str(label) for label in Project.Modality.labels)
        raise InvalidInput(
            sentence % {"kinds": kinds}, fields={"modality": [sentence % {"kinds": kinds}]}
        )
    if is_name_taken(name):
        raise _name_taken(name)
    if slug:
        try:
            validate_slug(slug)
            is_slug = len(slug) <= MAX_SLUG
        except ValidationError:
            is_slug = False
        if not is_slug:
            sentence = _(
                "A slug has letters, digits, hyphens and underscores only, at most %(limit)d of "
                "them."
            ) % {"limit": MAX_SLUG}
            raise InvalidInput(sentence, fields={"slug": [sentence]})
    else:
        # A name in Japanese, for one, leaves nothing to make a slug of.
        slug = slugify(name)[:MAX_SLUG].strip("-") or f"project-{uuid4().hex[:8]}"
    try:
        with transaction.atomic():
            return Project.objects.create(name=name, slug=slug, modality=modality)
    except IntegrityError as error:
        if is_name_taken(name):  # by somebody who made it at the same moment
            raise _name_taken(name) from error
        raise Conflict(
            _("There is already a project “%(slug)s”. Please choose another name.")
            % {"slug": slug},
            code="slug_taken",
            fields={"slug": [_("This name is already in use.")]},
        ) from error


def is_name_taken(name: str) -> bool:
    """Say whether there is a project that a reader would take for one of this name."""
    return Project.objects.filter(name_key=comparison_key(name)).exists()


def free_name(name: str) -> str:
    """Return this name, or with a number behind it the first that no project has."""
    candidates = (f"{name[: MAX_NAME - 8]} ({number})" for number in count(2))
    return next(each for each in chain([name], candidates) if not is_name_taken(each))


def _name_taken(name: str) -> Conflict:
    return Conflict(
        _("There is already a project “%(slug)s”. Please choose another name.") % {"slug": name},
        code="name_taken",
        fields={"name": [_("This name is already in use.")]},
    )


class ProjectArchived(Conflict):
    """The project was put aside, so it takes nothing new."""

    code = "project_archived"


def archive_project(project: Project) -> None:
    """Put a project aside: it is not listed any more and takes nothing new; all of it stays."""
    Project.objects.filter(pk=project.pk, archived_at=None).update(archived_at=timezone.now())


def restore_project(project: Project) -> None:
    """Bring an archived project back, as it was."""
    Project.objects.filter(pk=project.pk).update(archived_at=None)


def refuse_archived(project: Project) -> None:
    """Raise ProjectArchived if a project takes nothing new."""
    if project.is_archived:
        raise ProjectArchived(
            _(
                "“%(name)s” is archived and takes nothing new. A maintainer can bring it back in "
                "its options."
            )
            % {"name": project.name}
        )


def projects_with_live_version(
    *, archived: bool = False, among: QuerySet[Project] | None = None
) -> QuerySet[Project]:
    """Return the projects, each with `live_number`, that of the version that answers, or None.

    Args:
        among: those that somebody may see; all of them otherwise.
        archived: those that were put aside, instead of the others.
    """
    newest = Promotion.objects.filter(project=OuterRef("pk")).order_by("-id")
    found = Project.objects.all() if among is None else among
    return found.filter(archived_at__isnull=not archived).annotate(
        live_number=Subquery(newest.values("model_version__number")[:1])
    )

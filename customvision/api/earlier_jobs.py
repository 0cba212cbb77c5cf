"""Jobs that earlier versions asked for, when only clients could delete projects and tags."""

from collections.abc import Sequence

from django.utils import timezone
from django.utils.translation import gettext_lazy

from common.progress import Progress
from common.tasks import task
from predictions.models import Category
from training.lifecycle import category_removal, project_deletion, stored_files


@task(
    "customvision.erase_project",
    stored_as={"project_key": "project"},
    title=gettext_lazy("Delete a project with everything in it"),
)
def erase_project(progress: Progress, project_key: int, slug: str) -> None:
    """Delete a hidden project, see `project_deletion`."""
    project_deletion.erase_project.function(progress, project_key, slug)


@task("customvision.delete_files", title=gettext_lazy("Delete the files of what was deleted"))
def delete_stored_files(files: Sequence[tuple[str, str]]) -> None:
    """Delete files, see `stored_files`."""
    stored_files.delete_stored_files.function(files)


@task(
    "customvision.erase_tag",
    stored_as={"category_key": "category", "by_key": "by"},
    title=gettext_lazy("Take a deleted or merged category off its samples"),
)
def erase_tag(progress: Progress, category_key: int, by_key: int) -> None:
    """Take a tag off its images, see `category_removal`; then it was hidden from clients alone."""
    retired = Category.objects.filter(pk=category_key).exclude(retired=None)
    retired.update(removed_at=timezone.now(), key="")
    category_removal.finish_removal.function(progress, category_key, by_key)

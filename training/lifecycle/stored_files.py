"""Deleting files once nothing refers to them any more."""

from collections.abc import Sequence

from django.core.files.storage import storages
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy

from common.tasks import task
from predictions import retention
from predictions.models import Project, Sample
from training import model_downloads
from training.lifecycle.belongings import StoredFile
from training.models import DatasetImport

FILES_PER_JOB = 500


def delete_files(files: Sequence[StoredFile]) -> None:
    """Have files deleted, once the caller's transaction has committed."""
    for start in range(0, len(files), FILES_PER_JOB):
        delete_stored_files.enqueue(files=files[start : start + FILES_PER_JOB])


@task("training.delete_files", title=gettext_lazy("Delete the files of what was deleted"))
def delete_stored_files(files: Sequence[StoredFile]) -> None:
    """Delete files by storage and name. Safe to repeat."""
    for alias, name in files:
        storages[alias].delete(name)


def picture_files(samples: QuerySet[Sample]) -> list[StoredFile]:
    """Return the files of samples that have one."""
    files = []
    for location, name in samples.values_list("location", "file_name"):
        files.append((str(location), name))
        if location == Sample.Location.MISCLASSIFIED:
            files.append((str(location), retention.facts_file_name(name)))
    return files


def model_files(project: Project, slug: str) -> list[StoredFile]:
    """Return the files of a project's models, which lie below its former slug."""
    files = []
    for reference in project.model_versions.values_list("reference", flat=True):
        # A reference to a bundle elsewhere, or to a remote model, is not ours to delete
        if reference.startswith(f"{slug}/"):
            try:
                _folders, names = storages["models"].listdir(reference)
            except FileNotFoundError:
                continue
            files += [("models", f"{reference}/{name}") for name in names]
    for version in project.model_versions.all():
        files += [("models", name) for name in model_downloads.stored_files(version, slug)]
    return files


def import_files(project: Project) -> list[StoredFile]:
    """Return the files of data sets that were sent to a project."""
    rows = DatasetImport.objects.filter(project=project)
    names = rows.values_list("file_name", "labels_file", "report_file")
    return [("models", name) for row in names for name in row if name]

"""Deleting projects for clients, as far as the service would, and the archives of exports."""

from django.db import transaction

from customvision.api.errors import ApiError
from customvision.belongings import export_files
from customvision.models import Export, Iteration
from predictions import registry
from predictions.models import Project
from training.lifecycle import project_deletion, stored_files


@transaction.atomic
def delete_project(project: Project) -> None:
    """Hide a project, and have the worker delete everything in it.

    Its name, slug and id are free at once.

    Raises:
        ApiError: if an iteration is published, a model is live in Classifr, or a run or an import
            has not ended.
    """
    Project.objects.select_for_update().get(pk=project.pk)
    if Iteration.objects.filter(project=project, deleted_at=None).exclude(publish_name="").exists():
        raise ApiError(
            "BadRequestIterationIsPublished",
            "The project has published iterations. Unpublish them first.",
        )
    if registry.live_version(project):
        message = (
            "A model of this project is live in Classifr, so it cannot be deleted through this API."
        )
        raise ApiError("BadRequestWorkspaceNotDeletable", message)
    try:
        project_deletion.delete_project(project)
    except project_deletion.RunUnderWay as error:
        raise ApiError("BadRequestTrainingAlreadyInProgress", str(error)) from error
    except project_deletion.ProjectBusy as error:
        raise ApiError("BadRequestWorkspaceNotDeletable", str(error)) from error


def remove_exports(iteration: Iteration) -> None:
    """Delete the archives of an iteration; call it in a transaction."""
    exports = Export.objects.filter(iteration=iteration)
    stored_files.delete_files(export_files(exports))
    exports.delete()

"""Makes a model version of an archive: read, tried in a process of its own, kept, registered.

A worker does it for the form (`request_import`), the command itself for the command.
"""

import logging
import uuid
from dataclasses import replace
from typing import IO

from django.core.files.base import File
from django.core.files.storage import storages
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from common import jobs
from common.errors import Conflict, DomainError
from common.models import Job
from common.tasks import task
from customvision.exported import archive, predictor, refusals, trial
from customvision.exported.archive import ExportedModel
from customvision.exported.engines import TFLITE
from customvision.exported.refusals import CannotImport, Refused
from predictions import categories, registry
from predictions.models import Category, ModelVersion, Project
from predictions.predictors.base import PredictorUnavailable
from predictions.predictors.local import bundles
from training import frozen_graphs
from training.runs import promotion

logger = logging.getLogger(__name__)

STORAGE = "models"
# See `frozen_graphs.NORMALIZATIONS`; a manifest without a date is older than those with one
NORMALIZED_SINCE = "2018-05-01"
FACTS = ("Platform", "Flavor", "ExporterVersion", "ExportedDate", "IterationId")


def import_archive(project: Project, file: IO[bytes]) -> tuple[ModelVersion, bool]:
    """Make a model version of an archive; return it and whether it is new.

    The same archive gives the same version. Labels become categories where the project has none of
    that name, once the model has been tried.

    Raises:
        CannotImport: with a sentence that says what is wrong.
    """
    if project.modality != Project.Modality.IMAGE:
        raise refusals.refusal_of(Refused("other_kind"))
    exported = _converted(archive.read_archive(file))
    try:
        found = trial.try_model(
            exported.kind,
            exported.model,
            exported.labels,
            exported.properties,
            is_own=exported.is_own,
        )
    except Refused as error:
        raise refusals.refusal_of(error) from error
    named = _categories(project, exported.labels)
    facts = {
        "kind": exported.kind,
        "labels": list(exported.labels),
        "preprocessing": found.preprocessing,
        "source": {name: exported.manifest[name] for name in FACTS if name in exported.manifest},
    }
    names = [category.name for category in named]
    manifest = {"class_names": names, "activation": found.activation, "exported": facts}
    files = {predictor.FILES[exported.kind]: exported.model}
    reference, digest = bundles.write_bundle(project.slug, files, manifest)
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        same = project.model_versions.filter(predictor=predictor.ALIAS, digest=digest).first()
        if same:
            return same, False
        version = registry.register_version(
            project,
            predictor=predictor.ALIAS,
            reference=reference,
            class_names=names,
            digest=digest,
            manifest={**manifest, "category_uuids": [str(category.uuid) for category in named]},
            description=_description(exported),
        )
    return version, True


def _converted(exported: ExportedModel) -> ExportedModel:
    """Return a TensorFlow graph as TensorFlow Lite, and any other model as it is."""
    if exported.kind != archive.FROZEN:
        return exported
    converted = frozen_graphs.convert_graph(exported.model)
    if not converted.normalizes and exported.manifest.get("ExportedDate", "") < NORMALIZED_SINCE:
        raise CannotImport(
            _(
                "This graph is from before May 2018, when a program had to subtract the mean of "
                "each channel itself. Export the iteration again."
            )
        )
    return replace(exported, kind=TFLITE, model=converted.model)


@transaction.atomic
def _categories(project: Project, labels: tuple[str, ...]) -> list[Category]:
    """Return the category of each label, made where it is missing. Raises CannotImport."""
    found = [categories.add_category(project, label)[0] for label in labels]
    if len({category.pk for category in found}) != len(labels):
        raise CannotImport(_("Two labels of the model are one category here. It is not taken."))
    return found


def _description(exported: ExportedModel) -> str:
    kinds = {"tflite": "TensorFlow Lite", "onnx": "ONNX"}
    text = f"Custom Vision export, {kinds[exported.kind]}"
    if iteration := exported.manifest.get("IterationId"):
        text += f", iteration {iteration}"
    return text[:300]


def promote_imported(version: ModelVersion, *, by: User | None) -> None:
    """Make an imported version the live one."""
    if registry.live_version(version.project) != version:
        promotion.promote_version(version, by=by, reason=_("Imported from an exported model"))


def request_import(project: Project, file: File, *, promote: bool, by: User) -> Job:
    """Keep an archive for the worker, its directory being checked, and ask for its import.

    Raises:
        CannotImport: with a sentence that says what is wrong.
        Conflict: another import of this project is waiting or running.
    """
    if file.size > archive.MAX_ARCHIVE_BYTES:  # of what is longer, nothing was kept
        raise archive.archive_too_large()
    archive.check_directory(file)
    file.seek(0)
    name = storages[STORAGE].save(f"{project.slug}/imports/{uuid.uuid4().hex}.zip", file)
    try:
        return run_import.using(key=f"customvision.import_model:{project.pk}").enqueue(
            project_key=project.pk, file_name=name, promote=promote, user_key=by.pk
        )
    except jobs.AlreadyEnqueued as error:
        storages[STORAGE].delete(name)
        raise Conflict(
            _("A model is being imported into this project already. Wait until it is done.")
        ) from error


@task(
    "customvision.import_model",
    stored_as={"project_key": "project", "file_name": "file", "user_key": "user"},
    keeps_language=True,
    title=gettext_lazy("Import an exported model"),
)
def run_import(project_key: int, file_name: str, promote: bool, user_key: int) -> None:
    """Import an archive that `request_import` kept, in a worker. Safe to repeat."""
    storage = storages[STORAGE]
    try:
        with _opened(file_name) as file:
            version, _is_new = import_archive(Project.objects.get(pk=project_key), file)
        if promote:
            promote_imported(version, by=User.objects.filter(pk=user_key).first())
    except PredictorUnavailable as error:
        raise jobs.RetryLater(str(error)) from error
    except Project.DoesNotExist:
        logger.info("The project of an import is gone")
    except DomainError:
        storage.delete(file_name)  # another try would end in the same way
        raise
    storage.delete(file_name)


def _opened(file_name: str) -> File:
    try:
        return storages[STORAGE].open(file_name)
    except FileNotFoundError as error:
        raise CannotImport(_("The archive is gone. Please send it again.")) from error
    except Exception as error:  # each storage raises the errors of its own SDK
        raise jobs.RetryLater("The storage that holds the models does not answer.") from error


def newest_import(project: Project) -> Job | None:
    """Return the job of the newest import that was asked for in a project, however it ended."""
    jobs_ = Job.objects.filter(kind=run_import.kind, payload__project=project.pk)
    return jobs_.order_by("-pk").first()

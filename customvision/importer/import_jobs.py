"""Requesting an import, doing it, and deleting the key.

A maintainer's key is needed for as long as jobs use it, and those may run in another process, hours
later. So it is kept in the database, encrypted under SECRET_KEY (`common.encryption`), and apart
from the job, whose row is shown on pages and kept for weeks. It is deleted when the last import
that needs it has ended, however it ended, and cannot be decrypted after a day.
"""

from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from common import encryption, jobs
from common.errors import Conflict, InvalidInput, Unavailable
from common.models import Job
from common.progress import Progress, no_progress
from common.tasks import periodic, task
from customvision.client.errors import AccessDenied, RequestRejected
from customvision.importer import history_import, image_import, import_report, project_mapping
from customvision.importer.image_import import ImportContext
from customvision.importer.service import RemoteProject, TrainingService
from customvision.models import ImportedProject, ServiceAccess

PURPOSE = "custom vision training key"
UNUSED_FOR = timedelta(hours=1)
NOT_FOUND = 404


class ImportActive(Conflict):
    """An import of this project is under way."""

    code = "import_active"


class KeyExpired(InvalidInput):
    code = "key_forgotten"


def store_access(endpoint: str, key: str, *, by: User | None) -> ServiceAccess:
    """Store endpoint and key for imports to come, without asking the service.

    Raises:
        InvalidInput: if this is no endpoint that a key may be sent to.
    """
    endpoint, key = endpoint.strip().rstrip("/"), key.strip()
    TrainingService(endpoint, key)  # checks both
    sealed = encryption.encrypt_secret(key, purpose=PURPOSE)
    return ServiceAccess.objects.create(endpoint=endpoint, sealed_key=sealed, given_by=by)


def open_service(
    access: ServiceAccess | None, *, patience_seconds: float | None = None
) -> TrainingService:
    """Return the resource. Raises KeyExpired where the key was deleted or is too old."""
    try:
        if access is not None:
            return TrainingService(
                access.endpoint,
                encryption.decrypt_secret(access.sealed_key, purpose=PURPOSE),
                patience_seconds=patience_seconds,
            )
    except encryption.DecryptionFailed:
        pass
    raise KeyExpired(
        _("The key is no longer kept. Enter it again: the import continues where it stopped.")
    )


def request_import(
    access: ServiceAccess,
    found: RemoteProject,
    *,
    with_predictions: bool,
    by: User | None,
    checks_bytes: bool = False,
) -> ImportedProject:
    """Ask a worker to import a project.

    Raises:
        InvalidInput: for a project that detects objects.
        ImportActive: if an import of it has not ended.
    """
    with transaction.atomic():
        imported, _job = _prepare(access, found, with_predictions, checks_bytes, by)
    return imported


def begin_import(
    access: ServiceAccess,
    found: RemoteProject,
    *,
    with_predictions: bool,
    checks_bytes: bool = False,
) -> tuple[ImportedProject, Job]:
    """Prepare an import for this process to do, with `jobs.run_job`.

    Raises as `request_import` does.
    """
    # So that an import whose process was killed a minute ago does not block this one
    jobs.requeue_stalled()
    with transaction.atomic():
        imported, job = _prepare(
            access, found, with_predictions, checks_bytes, None, max_attempts=1
        )
        # In the same transaction, so that no worker takes the job first
        claimed = jobs.claim_job(job.pk, jobs.new_worker_name())
    if claimed is None:
        raise ImportActive(_("Another process has taken this import."))
    return imported, claimed


@task(
    "training.import_custom_vision",
    queue="imports",
    max_attempts=20,  # at up to five minutes apart: an outage of an hour passes
    stored_as={"imported_key": "imported"},
    keeps_language=True,
    title=gettext_lazy("Import a project from Custom Vision"),
)
def import_custom_vision(
    progress: Progress, imported_key: int, with_predictions: bool, checks_bytes: bool
) -> None:
    """Import a project. Run again after a crash it continues with what is missing."""
    rows = ImportedProject.objects.select_related("project", "access", "requested_by")
    if imported := rows.filter(pk=imported_key).first():
        execute_import(
            imported, progress, with_predictions=with_predictions, checks_bytes=checks_bytes
        )


def execute_import(
    imported: ImportedProject,
    progress: Progress = no_progress,
    *,
    with_predictions: bool,
    checks_bytes: bool,
) -> None:
    """Import a project. Safe to repeat after any end: it continues from what is here.

    Raises:
        Cancelled: it was asked to stop.
        RetryLater: the service does not answer now.
        DomainError: it cannot go on, with a sentence that says why.
    """
    try:
        remote = open_service(imported.access)
        found = remote.project(imported.remote_id)
        project_mapping.map_project(found, endpoint=imported.endpoint, by=imported.requested_by)
        categories = project_mapping.map_tags(imported, remote.tags(imported.remote_id))
        context = ImportContext(
            imported, remote, categories, imported.requested_by, progress, checks_bytes
        )
        iterations = history_import.import_iterations(context)
        seen = image_import.import_images(context)
        # After the iterations, which predictions refer to
        predictions = history_import.import_predictions(context) if with_predictions else None
        # Tags are counted as of the end: images were read until their list was complete
        tags = remote.tags(imported.remote_id)
        import_report.write_report(
            context, seen, tags, iterations=iterations, predictions=predictions
        )
    except RequestRejected as error:
        if error.answered == NOT_FOUND:
            sentence = _("“%(name)s” no longer exists. What was imported until then is kept.")
            raise InvalidInput(sentence % {"name": imported.name}) from error
        raise
    except AccessDenied:
        raise  # no patience helps: a maintainer has to correct the key or the quota
    except Unavailable as error:
        raise jobs.RetryLater(str(error)) from error
    imported.finished_at = timezone.now()
    imported.save(update_fields=["finished_at"])


def cancel_import(imported: ImportedProject) -> None:
    """Stop an import. Raises Conflict if it has ended already."""
    if not imported.is_active or imported.job is None:
        raise Conflict(_("This import has ended already."))
    jobs.request_cancel(imported.job)
    delete_unneeded_keys()


@periodic(seconds=20)
def delete_unneeded_keys() -> int:
    """Delete the keys that no import needs any longer; return how many."""
    now = timezone.now()
    forgotten = 0
    for access in ServiceAccess.objects.all():
        asked = access.imports.select_related("job")
        is_needed = any(one.is_active for one in asked)
        # Somebody has entered a key and is choosing projects
        is_new = not asked.exists() and access.created_at > now - UNUSED_FOR
        is_too_old = access.created_at < now - timedelta(seconds=encryption.SECONDS)
        if is_too_old or not (is_needed or is_new):
            forgotten += access.delete()[0] > 0
    return forgotten


def select_project(found: Iterable[RemoteProject], wanted: str) -> RemoteProject:
    """Return the project that is meant by a name or an id.

    Raises:
        InvalidInput: naming those that are there.
    """
    rows = list(found)
    # An exact match first: names may differ in case only
    named = [one for one in rows if wanted in (one.name, str(one.id))] or [
        one for one in rows if wanted.lower() in (one.name.lower(), one.id.hex)
    ]
    if len(named) == 1:
        return named[0]
    known = ", ".join(sorted(one.name for one in rows)) or _("none")
    sentence = _("There is no project “%(name)s”, or more than one. There are: %(known)s.")
    raise InvalidInput(sentence % {"name": wanted, "known": known})


def _prepare(
    access: ServiceAccess,
    found: RemoteProject,
    with_predictions: bool,
    checks_bytes: bool,
    by: User | None,
    *,
    max_attempts: int | None = None,
) -> tuple[ImportedProject, Job]:
    imported = project_mapping.map_project(found, endpoint=access.endpoint, by=by)
    key = f"{import_custom_vision.kind}:{imported.pk}"
    try:
        job = import_custom_vision.using(key=key, max_attempts=max_attempts).enqueue(
            imported_key=imported.pk, with_predictions=with_predictions, checks_bytes=checks_bytes
        )
    except jobs.AlreadyEnqueued as error:
        sentence = _(
            "“%(name)s” is being imported already. Wait for it, or cancel it on its page. An "
            "import whose process was killed is given up a minute later, once a worker runs."
        )
        raise ImportActive(sentence % {"name": found.name}) from error
    before = imported.access
    # Another key than last time replaces the old one, which nobody needs any longer
    imported.job, imported.access, imported.requested_by, imported.finished_at = (
        job,
        access,
        by,
        None,
    )
    imported.save(update_fields=["job", "access", "requested_by", "finished_at"])
    if before and before != access and not before.imports.exists():
        before.delete()
    return imported, job

"""Data sets that somebody sends with a form: kept, looked through by a worker, taken on their word.

The files lie in the storage of models, which is private, until they were taken or discarded, or for
a week. Each step can be repeated: what was taken is there already.
"""

import shutil
import tempfile
import uuid
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.files.base import ContentFile, File
from django.core.files.storage import storages
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from common import jobs
from common.errors import Conflict, DomainError, InvalidInput, NotFound
from common.progress import Progress
from common.tasks import Task, periodic, task
from predictions import categories, uploads
from predictions.models import Project
from training.data import dataset_import, formats
from training.data.import_previews import Previews
from training.models import DatasetImport

STORAGE = "models"
KEEP = timedelta(days=7)


def most_bytes() -> int:
    """Return how long a data set may be that is sent with a form."""
    return int(settings.IMPORT_MAX_BYTES)


def too_large() -> InvalidInput:
    megabytes = most_bytes() // 1_000_000
    sentence = _(
        "The file is larger than %(megabytes)d MB. Import it with manage.py import_dataset, or in "
        "parts."
    )
    return InvalidInput(sentence % {"megabytes": megabytes}, code="too_large")


def keep_dataset(
    project: Project,
    data: File,
    labels: File | None,
    *,
    by: User,
    alias: str = "",
    sub_folders_are_groups: bool = False,
) -> DatasetImport:
    """Keep what somebody sent, and have a worker look through it.

    Args:
        labels: a table or JSON file beside an archive of pictures.

    Raises:
        InvalidInput: too large, or in a format that the project does not take.
        Conflict: another data set is being looked through or taken.
    """
    for file in filter(None, (data, labels)):
        if file.size > most_bytes():  # of what is longer, nothing was kept
            raise too_large()
    if alias:
        formats.format_named(alias, project.modality)
    folder = f"{project.slug}/imports/{uuid.uuid4().hex}"
    kept = DatasetImport(
        project=project,
        name=uploads.display_name(data.name or ""),
        format=alias,
        sub_folders_are_groups=sub_folders_are_groups,
        requested_by=by,
    )
    # Before the transaction: none waits for a storage
    try:
        kept.file_name = storages[STORAGE].save(f"{folder}/data", data)
        if labels:
            kept.labels_name = uploads.display_name(labels.name or "")
            kept.labels_file = storages[STORAGE].save(f"{folder}/labels", labels)
        with transaction.atomic():
            kept.save()
            _enqueue(look_through, kept)
    except BaseException:
        _delete_files(kept)
        raise
    return kept


def request_import(
    found: DatasetImport, names: Mapping[str, str] = dataset_import.NO_NAMES
) -> None:
    """Have a worker take what was found.

    Args:
        names: under which other name a category is taken; "": it is left out.

    Raises:
        InvalidInput: no category can have one of these names.
        Conflict: it was taken or discarded already, or another import of the project is under way.
    """
    with transaction.atomic():
        found = DatasetImport.objects.select_for_update().get(pk=found.pk)
        if found.is_active or found.found is None or not found.awaits_a_word:
            raise Conflict(_("This data set is not waiting to be imported any more."))
        told = {name for name, _count in found.found["taken"]}
        found.found["names"] = {
            name: other and categories.clean_name(other)
            for name, other in names.items()
            if name in told and other != name
        }
        if told and all(found.found["names"].get(name) == "" for name in told):
            raise InvalidInput(_("Keep at least one category, or do not import it."))
        found.save(update_fields=["found"])
        _enqueue(take, found)


def discard(found: DatasetImport) -> None:
    """Forget a data set that was sent; one under way stops, and what was taken stays."""
    if found.job and found.is_active:
        jobs.request_cancel(found.job)
    _forget(found)


@task(
    "training.look_through_dataset",
    queue="imports",
    stored_as={"import_key": "import"},
    keeps_language=True,
    title=gettext_lazy("Look through a data set"),
)
def look_through(progress: Progress, import_key: int) -> None:
    """Find out what would become of each file of a data set, and keep nothing."""
    try:
        _execute(progress, import_key, dry_run=True)
    except DomainError:
        # Another try would end in the same way; the job tells why
        if kept := DatasetImport.objects.filter(pk=import_key).first():
            _forget(kept)
        raise


@task(
    "training.import_dataset",
    queue="imports",
    stored_as={"import_key": "import"},
    keeps_language=True,
    title=gettext_lazy("Import a data set"),
)
def take(progress: Progress, import_key: int) -> None:
    """Import a data set. Done again after a crash, it goes on with what is missing."""
    _execute(progress, import_key, dry_run=False)


@periodic(seconds=3600)
def forget_old_datasets() -> int:
    """Delete the files of data sets that nobody had taken for a week; return of how many."""
    old = DatasetImport.objects.exclude(file_name="").filter(created_at__lt=timezone.now() - KEEP)
    forgotten = [each for each in old.select_related("job") if not each.is_active]
    for each in forgotten:
        _forget(each)
    return len(forgotten)


def _enqueue(what: Task, kept: DatasetImport) -> None:
    try:
        kept.job = what.using(key=f"training.import_dataset:{kept.project_id}").enqueue(
            import_key=kept.pk
        )
    except jobs.AlreadyEnqueued as error:
        raise Conflict(
            _("Another data set is being imported into this project. Wait until it is done.")
        ) from error
    kept.save(update_fields=["job"])


def _execute(progress: Progress, import_key: int, *, dry_run: bool) -> None:
    rows = DatasetImport.objects.select_related("project", "requested_by")
    kept = rows.filter(pk=import_key).exclude(file_name="").first()
    if kept is None or kept.outcome is not None:
        return
    previews = Previews()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = formats.tree_of(_local_copy(kept.file_name, folder / "data"), kept.name)
        if kept.labels_file:
            labels = _local_copy(kept.labels_file, folder / "labels")
            tree = formats.with_labels(tree, labels, kept.labels_name)
        with (folder / "report.csv").open("w", encoding="utf-8", newline="") as report:
            imported = dataset_import.import_dataset(
                kept.project,
                tree,
                by=kept.requested_by,
                alias=kept.format,
                sub_folders_are_groups=kept.sub_folders_are_groups,
                dry_run=dry_run,
                progress=progress,
                listener=dataset_import.report_writer(report),
                onlooker=previews.add,
                names=(kept.found or {}).get("names", {}),
            )
        told = dataset_import.summary(kept.project, imported, dry_run=dry_run)
        before = kept.report_file
        with (folder / "report.csv").open("rb") as file:
            where = kept.file_name.rpartition("/")[0]
            kept.report_file = storages[STORAGE].save(f"{where}/report.csv", File(file))
    kept.format = imported.format.alias
    if dry_run:
        kept.found = told | {"previews": _keep_previews(kept, previews)}
    else:
        kept.outcome = told
    kept.save(update_fields=["format", "found", "outcome", "report_file"])
    if before:
        storages[STORAGE].delete(before)
    if not dry_run:
        _forget(kept)


def open_report(kept: DatasetImport) -> File:
    """Open the report of each file, for its reader to close. Raises NotFound: it is not there."""
    try:
        if kept.report_file:
            return storages[STORAGE].open(kept.report_file)
    except FileNotFoundError:
        pass
    raise NotFound(_("There is no report of this import."))


def preview_of(kept: DatasetImport, category: str) -> bytes:
    """Return some of a category's pictures side by side, as JPEG. Raises NotFound: it has none."""
    try:
        if kept.awaits_a_word and (name := (kept.found or {}).get("previews", {}).get(category)):
            with storages[STORAGE].open(name) as file:
                return file.read()
    except FileNotFoundError:
        pass
    raise NotFound(_("There is no picture of this category."))


def _keep_previews(kept: DatasetImport, previews: Previews) -> dict[str, str]:
    """Return by category the names of the files that show some of it."""
    where, names = kept.file_name.rpartition("/")[0], {}
    for number, (category, strip) in enumerate(previews.strips().items()):
        name = f"{where}/preview-{number}.jpg"
        # Of a worker that died before it wrote down that it had kept it
        storages[STORAGE].delete(name)
        names[category] = storages[STORAGE].save(name, ContentFile(strip))
    return names


def _local_copy(file_name: str, path: Path) -> Path:
    """Copy a kept file to this machine, as archives are read from their end."""
    try:
        with storages[STORAGE].open(file_name) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    except FileNotFoundError as error:
        raise InvalidInput(_("The data set is gone. Please send it again.")) from error
    except Exception as error:  # each storage raises the errors of its own SDK
        raise jobs.RetryLater("The storage that holds the models does not answer.") from error
    return path


def _forget(kept: DatasetImport) -> None:
    _delete_files(kept)
    DatasetImport.objects.filter(pk=kept.pk).update(file_name="", labels_file="")


def _delete_files(kept: DatasetImport) -> None:
    previews = (kept.found or {}).get("previews", {}).values()
    for name in filter(None, (kept.file_name, kept.labels_file, *previews)):
        storages[STORAGE].delete(name)

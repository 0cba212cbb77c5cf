"""Model versions as files for people: the bundle itself, or an archive in another format.

A worker makes an archive when somebody first asks for it, as that may take TensorFlow. It then
stays beside the models, under a name that its content follows from.
"""

import hashlib
import io
import json
import logging
import zipfile
from dataclasses import dataclass

from django.core.files.base import ContentFile, File
from django.core.files.storage import storages
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common import jobs
from common.errors import DomainError, NotFound, Unavailable
from common.models import Job
from common.tasks import task
from predictions import registry
from predictions.models import ModelVersion
from predictions.predictors.local import bundles
from training import exports

logger = logging.getLogger(__name__)

STORAGE = "models"
BUNDLE = "bundle"
_TITLES: dict[str, tuple[str | Promise, str | Promise]] = {
    BUNDLE: (
        gettext_lazy("Bundle"),
        gettext_lazy("What this server itself serves: the model with everything about it."),
    ),
    exports.LITE: (
        "TensorFlow Lite",
        gettext_lazy("For phones and small machines; in int8 where the model is."),
    ),
    "onnx": ("ONNX", gettext_lazy("For ONNX Runtime, on most systems and from most languages.")),
    "saved_model": ("SavedModel", gettext_lazy("For TensorFlow and TensorFlow Serving.")),
}


class NoSuchDownload(NotFound):
    """This version cannot be had in this format, or not yet."""


@dataclass(frozen=True)
class Download:
    """One format of a model version, and how far it is."""

    alias: str
    title: str | Promise
    about: str | Promise
    is_ready: bool
    is_active: bool
    problem: str


def formats_of(version: ModelVersion) -> list[str]:
    """Return the formats that a model version can be had in."""
    if not version.digest or not bundles.REFERENCE.fullmatch(version.reference):
        return []
    others = list(_TITLES)[1:] if version.predictor == exports.PREDICTOR else []
    return [BUNDLE, *others]


def downloads_of(version: ModelVersion) -> list[Download]:
    """Return what of a model version can be had, and how far each is."""
    made = Job.objects.filter(kind=build.kind, payload__version=version.pk).order_by("pk")
    newest = {each.payload["format"]: each for each in made}
    found = []
    for alias in formats_of(version):
        job = newest.get(alias)
        is_ready = storages[STORAGE].exists(_file_name(version, alias))
        problem = job.error if job and job.status == Job.Status.FAILED and not is_ready else ""
        is_active = bool(job and not job.is_ended)
        found.append(Download(alias, *_TITLES[alias], is_ready, is_active, problem))
    return found


def request_download(version: ModelVersion, alias: str) -> None:
    """Have a worker make the file of a model version; asked again, nothing changes.

    Raises:
        NoSuchDownload: this version cannot be had in this format.
    """
    if alias not in formats_of(version):
        raise _no_such_download()
    try:
        build.using(key=f"{build.kind}:{version.pk}:{alias}").enqueue(
            version_key=version.pk, alias=alias
        )
    except jobs.AlreadyEnqueued:
        logger.info("%s as %s is being made already", version, alias)


def open_download(version: ModelVersion, alias: str) -> File:
    """Open the file of a model version, for its reader to close. Raises NoSuchDownload."""
    if alias in formats_of(version):
        try:
            return storages[STORAGE].open(_file_name(version, alias))
        except FileNotFoundError:
            pass
    raise _no_such_download()


def stored_files(version: ModelVersion, slug: str) -> list[str]:
    """Return what was made of a model version, below the slug that its project had then."""
    folder = _folder(version, slug)
    try:
        _folders, names = storages[STORAGE].listdir(folder)
    except FileNotFoundError:
        return []
    return [f"{folder}/{name}" for name in names]


@task(
    "training.build_model_download",
    stored_as={"version_key": "version", "alias": "format"},
    keeps_language=True,
    title=gettext_lazy("Make the file of a model"),
)
def build(version_key: int, alias: str) -> None:
    """Make the file of a model version, unless it is there."""
    version = ModelVersion.objects.select_related("project").filter(pk=version_key).first()
    if version is None or storages[STORAGE].exists(name := _file_name(version, alias)):
        return
    try:
        if alias == BUNDLE:
            data = _bundle(version)
        else:
            labels = registry.class_names_now(version)
            data = exports.build_archive(registry.model_ref(version), labels, alias)
    except Unavailable as error:
        raise jobs.RetryLater(str(error)) from error
    storages[STORAGE].save(name, ContentFile(data))


def _bundle(version: ModelVersion) -> bytes:
    """Return the files of a bundle as an archive. Raises DomainError: they cannot be read."""
    bundle = bundles.open_bundle(registry.model_ref(version))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, path in bundle.paths.items():
            archive.write(path, name)
        about = {"project": version.project.name, "version": version.number}
        about |= {"digest": version.digest, "class_names": registry.class_names_now(version)}
        archive.writestr("about.json", json.dumps(about, indent=1, ensure_ascii=False))
        manifest = json.dumps(bundle.manifest, indent=1, sort_keys=True, ensure_ascii=False)
        archive.writestr(bundles.MANIFEST, manifest)
    return buffer.getvalue()


def _file_name(version: ModelVersion, alias: str) -> str:
    # Categories are renamed, and the file names them
    names = "\n".join(registry.class_names_now(version))
    mark = hashlib.sha256(names.encode()).hexdigest()[:8]
    return f"{_folder(version, version.project.slug)}/{alias}-{mark}.zip"


def _folder(version: ModelVersion, slug: str) -> str:
    return f"{slug}/downloads/{version.uuid}"


def _no_such_download() -> DomainError:
    return NoSuchDownload(
        _("This model cannot be downloaded in this format, or its file is not made yet.")
    )
